//! Headers and body of a provider's webhook: nobody gets in without the secret, and what was signed is believed.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use switchboard::clock::Timestamp;
use switchboard::secret::Secret;
use switchboard::wire::webhook::{Headers, sign, verify};

/// Id, timestamp, signature, body, and whether it is signed by us.
type Delivery<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, &'a [u8], bool);

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fuzz_target!(|delivery: Delivery<'_>| {
    let (id, timestamp, signature, body, is_signed) = delivery;
    let secrets = [Secret::new("whsec_Z2F0ZXdheS10ZXN0LXNpZ25pbmcta2V5LTMyYnl0ZXM=")];
    let signed = match (is_signed, id, timestamp) {
        (true, Some(id), Some(timestamp)) => sign(&secrets[0], id, timestamp, body).ok(),
        _ => None,
    };
    let signature = signed.as_deref().or(signature);
    let headers = Headers { id, timestamp, signature };
    let verdict = verify(headers, body, &secrets, Duration::from_secs(300), NOW);
    assert!(verdict.is_err() || signed.is_some(), "a forged delivery is believed");
});
