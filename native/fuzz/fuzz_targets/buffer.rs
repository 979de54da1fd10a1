#![no_main]

use goald_matcher::buffer::{BufferReader, BufferWriter};
use libfuzzer_sys::fuzz_target;

// A valid buffer equals the buffer that the writer makes of its entries.
fuzz_target!(|bytes: &[u8]| {
    if let Ok(reader) = BufferReader::new(bytes) {
        let count = reader.len();
        let mut writer = BufferWriter::new();
        for entry in reader {
            writer.push(entry.ms, entry.seq, entry.event);
        }
        assert_eq!(writer.entries() as usize, count);
        assert_eq!(writer.finish(), bytes);
    }
});
