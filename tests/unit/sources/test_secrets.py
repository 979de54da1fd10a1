"""Secrets are refused when they are set, if the scheme could never check a signature with them."""

import pytest
from tests.support.sources.payloads import vectors

from goald.domain.errors import InvalidConfiguration
from goald.sources.compiled import compile_source
from goald.sources.schemes.body_hmac import BodyHmac
from goald.sources.schemes.standard_webhooks import StandardWebhooks

KEY = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_all_forms_of_a_standard_webhooks_secret_are_one_key() -> None:
    scheme = StandardWebhooks(300)
    keys = {scheme.parse_secret(text).key for text in (KEY, f"whsec_{KEY}", f"v1,whsec_{KEY}")}
    assert len(keys) == 1
    for pair in vectors("standard_webhooks")["unpadded_secrets"]:
        short = f"whsec_{pair['secret']}"
        if len(pair["same_as"]) == 36:
            assert scheme.parse_secret(short) == scheme.parse_secret(f"whsec_{pair['same_as']}")


@pytest.mark.parametrize(
    "text",
    [
        *vectors("svix")["bad_secrets"]["list"],
        "plain text secret",
        f"whsec_{KEY}\n",
        "whsec_" + "A" * 32,
        "whpk_AAAA",
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
        "",
    ],
)
def test_a_standard_webhooks_secret_that_is_none_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        StandardWebhooks(300).parse_secret(text)
    assert len(text) < 8 or text not in str(refused.value)


@pytest.mark.parametrize(
    ("preset", "text", "hint"),
    [
        ("stripe", "sk_live_4242424242424242", "whsec_"),
        ("stripe", "whsec_", "whsec_"),
        ("shopify", "", "empty"),
        ("woocommerce", " with spaces ", "spaces"),
        ("hubspot", "a\x00b", "printable"),
        ("typeform", "x" * 1025, "longer"),
        ("pipedrive", "no-colon", "user:password"),
        ("jotform", "anything", "signs nothing"),
        ("gohighlevel", "not a key", "public key"),
        ("cloudevents", "two words", "token"),
    ],
)
def test_a_secret_that_cannot_be_checked_is_refused_with_its_place(
    preset: str, text: str, hint: str
) -> None:
    overrides = {"parameters": {"location_id": "L1"}} if preset == "gohighlevel" else {}
    source = compile_source(preset, overrides)
    with pytest.raises(InvalidConfiguration, match=hint) as refused:
        source.parse_secrets([text])
    assert refused.value.faults[0][0] == "/secrets/0"


@pytest.mark.parametrize(
    "preset", ["stripe", "shopify", "woocommerce", "hubspot", "calcom", "svix"]
)
def test_a_provider_that_always_signs_needs_a_secret(preset: str) -> None:
    source = compile_source(preset, {})
    with pytest.raises(InvalidConfiguration, match="set its secret"):
        source.parse_secrets([])


def test_secrets_in_hexadecimal_and_base64_are_decoded() -> None:
    hexadecimal = BodyHmac("X-Signature", "hex", key_form="hex")
    assert hexadecimal.parse_secret("00ff").key == b"\x00\xff"
    base64 = BodyHmac("X-Signature", "hex", key_form="base64")
    assert base64.parse_secret("AP8=").key == b"\x00\xff"
    for scheme, text in ((hexadecimal, "0f0"), (hexadecimal, "zz"), (base64, "a*b")):
        with pytest.raises(InvalidConfiguration):
            scheme.parse_secret(text)


def test_a_secret_is_not_shown() -> None:
    secret = compile_source("shopify", {}).parse_secrets(["shpss_abcdefgh"])[0]
    assert "abcdefgh" not in repr(secret)
