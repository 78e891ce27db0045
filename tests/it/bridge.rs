//! The rollback path: with `features.openai_sip = false` the gateway bridges the carrier's media stream to
//! the provider, and caller and operator see the same as over SIP.

use switchboard::sim::openai::CallReport;
use switchboard::sim::world::Played;

use crate::harness::{House, Plan};

mod full;
mod hostile;
mod recording;
mod sessions;
mod talking;
pub mod time;

/// A house whose calls go over media streams.
pub async fn house(plan: Plan) -> House {
    let mut environment = plan.environment;
    environment.push(("SWITCHBOARD__FEATURES__OPENAI_SIP", "false".to_owned()));
    House::with(Plan { environment, ..plan }).await
}

/// The ordinary house without plugins, at this speed, with this changed in its configuration.
pub async fn plain(speed: f64, config: impl FnOnce(String) -> String) -> House {
    let config = config(crate::harness::CONFIG.split("[plugins").next().unwrap_or_default().to_owned());
    house(Plan { config, speed, ..Plan::default() }).await
}

/// What the provider saw of a call that went as it should: every sample right, no rule broken.
pub fn sound(house: &House, played: &Played) -> CallReport {
    let log = house.world.log.text();
    let provider = played.provider.clone().unwrap_or_else(|| panic!("nobody heard the caller\n{log}"));
    assert_eq!(provider.protocol_errors, [""; 0], "{log}");
    assert_eq!(played.carrier.problems, [""; 0], "{log}");
    assert_eq!(provider.garbled, 0, "what the provider heard is what the caller said\n{log}");
    for stream in &played.carrier.streams {
        assert_eq!(stream.garbled, 0, "what the caller heard is what the model said\n{log}");
    }
    provider
}
