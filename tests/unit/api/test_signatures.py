"""Webhook signatures, checked against the test vectors of the specification's libraries."""

import random

import pytest

from goald.api.auth.signatures import (
    SignatureCheck,
    format_secret,
    is_within_window,
    parse_secret,
    sign,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = "1614265330"
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def is_signed(secret: bytes, message_id: str, timestamp: str, signatures: str, body: bytes) -> bool:
    check = SignatureCheck(secret, message_id, timestamp)
    for at in range(0, len(body), 3):
        check.add(body[at : at + 3])
    return check.matches(signatures)


def test_signature_equals_the_test_vector() -> None:
    assert sign(parse_secret(SECRET), ID, int(TIMESTAMP), BODY) == SIGNATURE


def test_one_matching_signature_of_several_is_enough() -> None:
    several = f"v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,x {SIGNATURE}"

    assert is_signed(parse_secret(SECRET), ID, TIMESTAMP, several, BODY)


@pytest.mark.parametrize(
    ("message_id", "timestamp", "signatures", "body"),
    [
        (ID + "x", TIMESTAMP, SIGNATURE, BODY),
        (ID, "1614265331", SIGNATURE, BODY),
        (ID, TIMESTAMP, SIGNATURE, BODY + b" "),
        (ID, TIMESTAMP, SIGNATURE.replace("v1,", "v2,"), BODY),
        (ID, TIMESTAMP, SIGNATURE.removeprefix("v1,"), BODY),
        (ID, TIMESTAMP, "", BODY),
        (ID, TIMESTAMP, "v1,", BODY),
        (ID, TIMESTAMP, "v1,é", BODY),
        (ID, TIMESTAMP, "x " * 16 + SIGNATURE, BODY),
        ("", TIMESTAMP, SIGNATURE, BODY),
        (ID, "9" * 12, SIGNATURE, BODY),
        (ID, TIMESTAMP, SIGNATURE, b"\xff"),
    ],
)
def test_any_difference_invalidates_the_signature(
    message_id: str, timestamp: str, signatures: str, body: bytes
) -> None:
    assert not is_signed(parse_secret(SECRET), message_id, timestamp, signatures, body)


def test_timestamp_must_be_within_the_window() -> None:
    assert is_within_window("1000", 1300.0, 300.0)
    assert is_within_window("1000", 700.0, 300.0)
    assert not is_within_window("1000", 1300.5, 300.0)
    assert not is_within_window("1000", 699.5, 300.0)


@pytest.mark.parametrize("timestamp", ["", "-1", "1e3", "1000.0", " 1000", "١٠٠٠", "9" * 5_000])
def test_timestamp_must_be_whole_seconds(timestamp: str) -> None:
    assert not is_within_window(timestamp, 1000.0, 1e9)


def test_formatted_secret_can_be_parsed() -> None:
    secret = random.Random(1).randbytes(32)

    assert parse_secret(format_secret(secret)) == secret


@pytest.mark.parametrize(
    "text",
    [
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_!!!!",
        "whsec_" + "A" * 28,
        "whsec_" + "A" * 88,
    ],
)
def test_invalid_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"secret has|base64|begins"):
        parse_secret(text)
