//! Routing by raw bytes, and the buffers between router and matcher.

mod decode_support;

use decode_support::{envelope, message_pack, with_data};
use goald_matcher::buffer::{
    BufferError, BufferReader, BufferWriter, Entry, entry_id, parse_entry_id,
};
use goald_matcher::event::limits::FORWARDED_BYTES;
use goald_matcher::route::{Packer, SLOTS, routing_key, slot_of};
use proptest::prelude::*;
use serde_json::json;

#[test]
fn a_slot_is_zlibs_crc_of_tenant_and_contact() {
    // python: zlib.crc32(f"{tenant}\x1f{contact}".encode()) % 256
    for (tenant, contact, slot) in [
        ("acme", "c-1", 232),
        ("acme", "é", 154),
        ("", "", 120),
        ("t-9", "c7a3f2d0-1b4e-4a6f-8e21-90b4d6f1a3c5", 2),
    ] {
        assert_eq!(slot_of(tenant, contact), slot, "{tenant} {contact}");
    }
    let long = "x".repeat(600);
    assert_eq!(slot_of(&long, &long), 156);
}

#[test]
fn an_event_without_a_routing_key_is_rejected_with_the_reason() {
    for (event, message) in [
        (
            json!({"data": {"contact_id": "c"}}),
            "tenantid: required but missing",
        ),
        (json!({"tenantid": "t"}), "data: required but missing"),
        (json!({}), "tenantid: required but missing"),
        (
            json!({"tenantid": "t", "data": {}}),
            "data.contact_id: required but missing",
        ),
        (json!({"tenantid": "t", "data": [1]}), "data: not a map"),
        (
            json!({"tenantid": 5.5}),
            "tenantid: neither a string nor an integer",
        ),
        (
            json!({"tenantid": "t", "data": {"contact_id": [1]}}),
            "data.contact_id: neither a string nor an integer",
        ),
    ] {
        for bytes in [event.to_string().into_bytes(), message_pack(&event)] {
            assert_eq!(
                routing_key(&bytes).unwrap_err().to_string(),
                message,
                "{event}"
            );
        }
    }
}

#[test]
fn an_event_with_an_unreadable_key_is_rejected_with_the_reason() {
    let cases: [(&[u8], &str); 22] = [
        (b"", "neither a MessagePack map nor a JSON object"),
        (b"  x", "neither a MessagePack map nor a JSON object"),
        (
            b"{\"tenantid\":\"\xff\"}",
            "tenantid: text is not valid UTF-8",
        ),
        (
            b"{\"tenantid\":\"\\x\"}",
            "tenantid: a string contains an invalid escape sequence",
        ),
        (b"{\"tenantid\":\"\\", "unexpected end of the event"),
        (b"{\"tenantid\":\"a", "unexpected end of the event"),
        (
            b"{\"tenantid\":\"a\nb\"",
            "a string contains an unescaped control character (byte 14)",
        ),
        (b"{\"a\":[{\"b\":[1,2]", "unexpected end of the event"),
        (b"{\"a\":[\"b", "unexpected end of the event"),
        (b"{\"a\" 1", "not valid JSON (byte 5)"),
        (b"{\"a\":1 2", "not valid JSON (byte 7)"),
        (b"{5:1}", "not valid JSON (byte 1)"),
        (b"{", "unexpected end of the event"),
        (b"\x81", "unexpected end of the event"),
        (b"\x81\x01\x01", "a key is not a string (byte 1)"),
        (b"\x82\xa1a\xc1", "invalid MessagePack type byte (byte 3)"),
        (b"\x82\xa1a\xc5\x00\x01", "unexpected end of the event"),
        (
            b"\x82\xa1a\xdd\xff\xff\xff\xff",
            "unexpected end of the event",
        ),
        (
            b"\x82\xa1a\xdf\xff\xff\xff\xff",
            "unexpected end of the event",
        ),
        (b"\xdf\xff\xff\xff\xff", "unexpected end of the event"),
        (
            b"\x81\xa8tenantid\xa2\xc3\x28",
            "tenantid: text is not valid UTF-8",
        ),
        (
            b"\x81\xa8tenantid\xa1\x00",
            "tenantid: contains a NUL character",
        ),
    ];
    for (bytes, expected) in cases {
        let message = routing_key(bytes).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{bytes:x?}: {message}");
    }
}

#[test]
fn an_event_that_is_larger_than_one_passed_on_is_not_routed() {
    let mut largest = with_data("contact.tag.added").to_string().into_bytes();
    largest.resize(FORWARDED_BYTES, b' ');
    let table = [0; SLOTS];
    let mut packer = Packer::new(&table, 90_000);
    packer.push(b"1-0", &largest).unwrap();
    largest.push(b' ');
    let routed = packer.push(b"2-0", &largest);
    assert_eq!(
        routed.unwrap_err().to_string(),
        "the event is larger than 256 KiB"
    );
}

#[test]
fn every_kind_of_value_is_skipped() {
    let mut event = envelope(
        "form.submitted",
        json!({"zz": 1, "contact_id": "c", "b": "é\"\\"}),
    );
    event["more"] = json!([
        null, true, false, 1, 200, 70_000, 5_000_000_000_u64, -1, -100, -1000, -70_000,
        -5_000_000_000_i64, 0.5, "x".repeat(40), "y".repeat(300), vec![0; 20],
        (0..70_000).step_by(20).collect::<Vec<_>>(), {"}": "]"}, {},
        (0..20).map(|n| (n.to_string(), json!(n))).collect::<serde_json::Map<_, _>>(),
    ]);
    for bytes in [event.to_string().into_bytes(), message_pack(&event)] {
        let (tenant, contact) = routing_key(&bytes).unwrap();
        assert_eq!((&*tenant, &*contact), ("acme", "c"));
    }
    // Forms other than the shortest that a MessagePack writer may use.
    for value in [
        &b"\xca\x00\x00\x00\x00"[..],
        b"\xdb\x00\x00\x00\x01a",
        b"\xdd\x00\x00\x00\x01\x01",
        b"\xdf\x00\x00\x00\x01\xa1a\x01",
        b"\xd3\x00\x00\x00\x00\x00\x00\x00\x01",
    ] {
        let bytes = [
            b"\xdf\x00\x00\x00\x03\xd9\x01m",
            value,
            b"\xda\x00\x04data\xde\x00\x01\xdb\x00\x00\x00\x0acontact_id\xd9\x01c\xa8tenantid\xa1t",
        ]
        .concat();
        let (tenant, contact) = routing_key(&bytes).unwrap();
        assert_eq!((&*tenant, &*contact), ("t", "c"));
    }
}

#[test]
fn entry_ids_have_the_form_of_redis() {
    assert_eq!(
        parse_entry_id(b"1795181400000-0"),
        Some((1_795_181_400_000, 0))
    );
    assert_eq!(
        parse_entry_id(b"18446744073709551615-18446744073709551615"),
        Some((u64::MAX, u64::MAX))
    );
    for text in [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "1-2-3",
        "01-1",
        "1-01",
        "+1-1",
        "a-1",
        "1-1 ",
        "18446744073709551616-0",
    ] {
        assert_eq!(parse_entry_id(text.as_bytes()), None, "{text}");
    }
    assert_eq!(entry_id(5, 17), "5-17");
}

#[test]
fn a_damaged_buffer_yields_no_entry() {
    let mut writer = BufferWriter::default();
    writer.push(1, 2, b"one");
    writer.push(3, 4, b"");
    assert_eq!(writer.entries(), 2);
    let bytes = writer.finish();
    let entries: Vec<_> = BufferReader::new(&bytes).unwrap().collect();
    assert_eq!(
        entries,
        [
            Entry {
                ms: 1,
                seq: 2,
                event: b"one"
            },
            Entry {
                ms: 3,
                seq: 4,
                event: b""
            }
        ],
    );
    for end in 0..bytes.len() {
        assert!(BufferReader::new(&bytes[..end]).is_err());
    }
    let more = [&bytes[..], b"\x00"].concat();
    assert_eq!(
        BufferReader::new(&more).unwrap_err(),
        BufferError::TrailingBytes
    );
    let mut other = bytes.clone();
    other[0] = 99;
    let error = BufferReader::new(&other).unwrap_err();
    assert_eq!(error.to_string(), "not a buffer of this version");
    let mut endless = bytes.clone();
    endless[1..5].fill(0xff);
    let error = BufferReader::new(&endless).unwrap_err();
    assert_eq!(error.to_string(), "the buffer is truncated");
    assert_eq!(
        BufferError::TrailingBytes.to_string(),
        "trailing bytes after the last entry of the buffer"
    );
    assert_eq!(
        BufferReader::new(&BufferWriter::new().finish())
            .unwrap()
            .len(),
        0
    );
}

/// Two shards with half of the slots each.
fn two_shards() -> [u8; SLOTS] {
    std::array::from_fn(|slot| u8::from(slot >= 128))
}

#[test]
fn entries_of_a_shard_stay_in_order_and_buffers_within_their_limit() {
    let shards = two_shards();
    let mut packer = Packer::new(&shards, 1_000);
    let events: Vec<_> = (0..100_u64)
        .map(|n| {
            let mut event = with_data("form.submitted");
            event["data"]["contact_id"] = json!(format!("c-{}", n % 7));
            event.to_string()
        })
        .collect();
    for (n, event) in events.iter().enumerate() {
        packer
            .push(format!("1000-{n}").as_bytes(), event.as_bytes())
            .unwrap();
    }
    let mut seen = [Vec::new(), Vec::new()];
    for packed in packer.finish() {
        assert!(packed.bytes.len() <= 1_000 && packed.entries > 0);
        let entries: Vec<_> = BufferReader::new(&packed.bytes).unwrap().collect();
        assert_eq!(entries.len(), packed.entries as usize);
        for entry in entries {
            let (tenant, contact) = routing_key(entry.event).unwrap();
            assert_eq!(
                shards[usize::from(slot_of(&tenant, &contact))],
                packed.shard
            );
            assert_eq!(entry.event, events[entry.seq as usize].as_bytes());
            seen[usize::from(packed.shard)].push(entry.seq);
        }
    }
    assert!(
        seen.iter()
            .all(|order| order.is_sorted() && !order.is_empty())
    );
    assert_eq!(seen.concat().len(), 100);
}

#[test]
fn an_entry_larger_than_the_limit_gets_a_separate_buffer() {
    let shards = [3; SLOTS];
    let mut packer = Packer::new(&shards, 100);
    let event = with_data("form.submitted").to_string();
    for seq in ["1-1", "1-2"] {
        packer.push(seq.as_bytes(), event.as_bytes()).unwrap();
    }
    let packed = packer.finish();
    let counts: Vec<_> = packed
        .iter()
        .map(|packed| (packed.shard, packed.entries))
        .collect();
    assert_eq!(counts, [(3, 1), (3, 1)]);
}

#[test]
fn an_entry_that_cannot_be_routed_is_rejected_and_the_others_are_packed() {
    let shards = two_shards();
    let mut packer = Packer::new(&shards, 90_000);
    let event = with_data("form.submitted").to_string();
    packer.push(b"1-1", event.as_bytes()).unwrap();
    let reject = packer.push(b"oops", event.as_bytes()).unwrap_err();
    assert_eq!(
        reject.to_string(),
        "the stream entry id does not have the form ms-seq"
    );
    assert!(reject.field().is_none());
    packer.push(b"1-2", b"not an event").unwrap_err();
    packer.push(b"1-3", event.as_bytes()).unwrap();
    let packed = packer.finish();
    assert_eq!(packed.iter().map(|packed| packed.entries).sum::<u32>(), 2);
}

proptest! {
    #[test]
    fn buffers_return_the_entries_that_were_pushed(
        entries in prop::collection::vec((any::<u64>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..50)), 0..20),
    ) {
        let mut writer = BufferWriter::new();
        for (ms, seq, event) in &entries {
            let before = writer.len();
            writer.push(*ms, *seq, event);
            prop_assert_eq!(writer.len(), before + BufferWriter::entry_len(event.len()));
        }
        let bytes = writer.finish();
        let read: Vec<_> = BufferReader::new(&bytes).unwrap()
            .map(|entry| (entry.ms, entry.seq, entry.event.to_vec()))
            .collect();
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn arbitrary_bytes_are_a_complete_buffer_or_none(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        for bytes in [bytes.clone(), [&[1, 1, 0, 0, 0][..], &bytes].concat()] {
            if let Ok(reader) = BufferReader::new(&bytes) {
                let count = reader.len();
                prop_assert_eq!(reader.count(), count);
            }
        }
    }

    #[test]
    fn entry_ids_are_written_as_they_are_parsed(ms in any::<u64>(), seq in any::<u64>()) {
        prop_assert_eq!(parse_entry_id(entry_id(ms, seq).as_bytes()), Some((ms, seq)));
    }
}
