"""E-mails as files."""

from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from tests.support.actions.worker_bench import OpenGate, a_job

from goald.adapters.memory.clock import ManualClock
from goald.adapters.providers.email_files import EmailFiles
from goald.domain.actions.gates import ActionType
from goald.domain.actions.outcomes import OutcomeKind
from goald.workers.provider import ActionFailed, CallTooLate

EMAIL = ActionType("send_email")
CONFIG = {"subject": "Hi Jäne", "body": "Welcome\n"}


async def send(path: Path, number: int, **config: Any) -> list[Any]:
    """The e-mails in a directory after a call."""
    provider = EmailFiles(path / "mail", "goald <hello@example.org>", ManualClock())
    await provider.perform(a_job(number, EMAIL), {**CONFIG, **config}, OpenGate())
    files = sorted((path / "mail").iterdir())
    assert {file.suffix for file in files} == {".eml"}
    return [message_from_bytes(file.read_bytes(), policy=default) for file in files]


async def test_an_e_mail_is_a_file(tmp_path: Path) -> None:
    (message,) = await send(tmp_path, 0, html="<p>Welcome</p>", reply_to="help@example.org")
    assert message["To"] == "jane@example.com"
    assert message["From"] == "goald <hello@example.org>"
    assert message["Reply-To"] == "help@example.org"
    assert message["Subject"] == "Hi Jäne"
    assert message["Message-ID"] == "<key-0@goald.invalid>"
    assert message["Date"] == "Thu, 01 Jan 2026 00:00:00 +0000"
    assert message.get_body(("plain",)).get_content().strip() == "Welcome"
    assert message.get_body(("html",)).get_content().strip() == "<p>Welcome</p>"


async def test_a_repeated_call_writes_the_same_file(tmp_path: Path) -> None:
    await send(tmp_path, 0)
    assert len(await send(tmp_path, 0)) == 1
    assert len(await send(tmp_path, 1)) == 2


async def test_a_file_does_not_appear_too_long_after_its_gate_was_passed(tmp_path: Path) -> None:
    provider = EmailFiles(tmp_path / "mail", "goald <hello@example.org>", ManualClock())
    gate = OpenGate()
    gate.too_late = CallTooLate("late")
    with pytest.raises(CallTooLate):
        await provider.perform(a_job(0, EMAIL), CONFIG, gate)
    assert list((tmp_path / "mail").iterdir()) == []


@pytest.mark.parametrize(
    "config",
    [{"to": "nobody"}, {"to": "a@b.c\r\nBcc: x@y.z"}, {"subject": "a\r\nBcc: x@y.z"}],
)
async def test_an_invalid_address_or_header_is_skipped(
    tmp_path: Path, config: dict[str, str]
) -> None:
    with pytest.raises(ActionFailed) as failed:
        await send(tmp_path, 0, **config)
    assert failed.value.outcome.kind is OutcomeKind.SKIP
    assert "x@y.z" not in str(failed.value)
