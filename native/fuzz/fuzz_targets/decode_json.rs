#![no_main]

use goald_fuzz::check_event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check_event(bytes);
    // The same after a brace, so that most inputs reach the JSON decoder.
    check_event(&[b"{", bytes].concat());
});
