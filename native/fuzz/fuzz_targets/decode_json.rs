#![no_main]

use goald_fuzz::check_event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check_event(bytes);
    // The same behind a brace, so that most inputs come to the decoder of JSON.
    check_event(&[b"{", bytes].concat());
});
