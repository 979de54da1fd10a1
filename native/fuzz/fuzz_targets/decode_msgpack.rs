#![no_main]

use goald_fuzz::check_event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check_event(bytes);
    // The same behind a map's marker, so that most inputs come to the decoder of MessagePack.
    check_event(&[b"\x87", bytes].concat());
});
