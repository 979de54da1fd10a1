//! The checks of the fuzz targets.

use goald_matcher::decode::decode;
use goald_matcher::route::routing_key;

/// A time after that of every event in the corpus.
const NOW_US: i64 = 4_000_000_000_000_000;

/// Decodes `bytes`. Asserts that an accepted event is routed by the ids that were decoded, and that
/// another parser accepts its data as JSON.
pub fn check_event(bytes: &[u8]) {
    let key = routing_key(bytes);
    if let Ok(event) = decode(bytes, NOW_US) {
        assert_eq!(key, Ok((event.tenant, event.contact.clone())));
        let data: serde_json::Value =
            serde_json::from_str(&event.data.to_json()).expect("data as JSON");
        assert_eq!(data["contact_id"], *event.contact);
    }
}
