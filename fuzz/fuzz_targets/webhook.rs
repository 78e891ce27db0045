//! Headers and body of a provider's webhook: nobody gets in without the secret, and what was signed is believed.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use switchboard::clock::Timestamp;
use switchboard::secret::Secret;
use switchboard::wire::webhook::{Headers, sign, verify};

#[derive(Arbitrary, Debug)]
struct Delivery<'a> {
    id: Option<&'a str>,
    timestamp: Option<&'a str>,
    signature: Option<&'a str>,
    body: &'a [u8],
    is_signed: bool,
}

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fuzz_target!(|delivery: Delivery<'_>| {
    let secrets = [Secret::new("whsec_Z2F0ZXdheS10ZXN0LXNpZ25pbmcta2V5LTMyYnl0ZXM=")];
    let signed = match (delivery.is_signed, delivery.id, delivery.timestamp) {
        (true, Some(id), Some(timestamp)) => sign(&secrets[0], id, timestamp, delivery.body).ok(),
        _ => None,
    };
    let signature = signed.as_deref().or(delivery.signature);
    let headers = Headers { id: delivery.id, timestamp: delivery.timestamp, signature };
    let verdict = verify(headers, delivery.body, &secrets, Duration::from_secs(300), NOW);
    assert!(verdict.is_err() || signed.is_some(), "a forged delivery is believed");
});
