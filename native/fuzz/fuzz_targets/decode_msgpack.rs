#![no_main]

use goald_fuzz::check_event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check_event(bytes);
    // The same after the marker of a map, so that most inputs reach the MessagePack decoder.
    check_event(&[b"\x87", bytes].concat());
});
