//! Plans and time zones as bytes.

use goald_matcher::plan::{Contact, Plan, Zones};
use serde_json::{Value, json};

/// The MessagePack of a JSON value.
pub fn packed(value: &Value) -> Vec<u8> {
    fn converted(value: &Value) -> rmpv::Value {
        match value {
            Value::Null => rmpv::Value::Nil,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.as_i64().expect("an integer").into(),
            Value::String(text) => text.as_str().into(),
            Value::Array(items) => rmpv::Value::Array(items.iter().map(converted).collect()),
            Value::Object(_) => unreachable!("plans have no maps"),
        }
    }
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &converted(value)).expect("write to memory");
    bytes
}

/// An encoded plan with these instructions, to which the end is added.
pub fn plan_of(trigger: Value, tags: Value, attributes: Value, instructions: Value) -> Value {
    let Value::Array(mut instructions) = instructions else {
        unreachable!("instructions are a list")
    };
    instructions.push(json!([0]));
    json!([
        1,
        "Europe/Berlin",
        [0, 0],
        trigger,
        tags,
        attributes,
        instructions
    ])
}

pub fn read(value: &Value) -> Result<Plan, String> {
    Plan::read(&packed(value), false).map_err(|error| error.0)
}

/// A plan whose steps are these instructions.
pub fn plan(instructions: Value) -> Plan {
    read(&plan_of(Value::Null, json!([]), json!([]), instructions)).expect("a valid plan")
}

/// An action that continues at `next`.
pub fn action(id: &str, next: u8) -> Value {
    let errors = json!([null, null, "fail", "continue", "continue"]);
    json!([1, id, 1, next, "noop", null, "{}", errors, null])
}

pub fn contact(tags: &[(Option<&str>, Option<&str>)], attributes: &str) -> Contact {
    let mut contact = Contact::default();
    let owned = |text: &Option<&str>| text.map(Into::into);
    contact.tags = tags
        .iter()
        .map(|(id, name)| (owned(id), owned(name)))
        .collect();
    assert!(contact.set_attributes(attributes));
    contact
}

/// A zone without a list of transitions, whose rule is a POSIX TZ string (RFC 9636).
pub fn tzif(rule: &str) -> Vec<u8> {
    let block = |counts: [u32; 6], data: &[u8]| {
        let mut bytes = b"TZif2".to_vec();
        bytes.extend([0; 15]);
        bytes.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
        bytes.extend(data);
        bytes
    };
    // One type: UTC+0, no daylight saving, abbreviation 0.
    let data = [&[0; 6], &b"UTC\0"[..]].concat();
    let counts = [0, 0, 0, 0, 1, 4];
    [
        block(counts, &data),
        block(counts, &data),
        format!("\n{rule}\n").into_bytes(),
    ]
    .concat()
}

/// Zones with Berlin's and New York's rules.
pub fn zones() -> Zones {
    let mut zones = Zones::default();
    for (name, rule) in [
        ("Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3"),
        ("America/New_York", "EST5EDT,M3.2.0,M11.1.0"),
    ] {
        zones.set(name, &tzif(rule)).expect("a zone");
    }
    zones
}

/// Milliseconds since the epoch of a time in UTC.
pub fn ms(text: &str) -> i64 {
    let time = goald_matcher::event::time::parse(text).expect("a time");
    time / 1_000
}

/// A plan without a trigger, whose conditions may test a tag.
pub fn steps(instructions: Value) -> Value {
    plan_of(Value::Null, json!([["t-1", null]]), json!([]), instructions)
}

/// send, wait for two hours, send again.
pub fn drip() -> Value {
    steps(json!([
        action("a", 1),
        [3, "w", 2, 2, 7_200_000_000_i64],
        action("b", 3)
    ]))
}
