"""Messages as files: who may read them, and a directory that cannot be used."""

import json
import stat
from pathlib import Path

import pytest
from tests.support.actions.worker_bench import OpenGate, a_job

from goald.adapters.memory.clock import ManualClock
from goald.adapters.providers.message_files import MessageFiles, create_private
from goald.adapters.providers.text_files import TextFiles, admin_message, text_message
from goald.domain.actions.outcomes import OutcomeKind
from goald.domain.errors import StartError
from goald.workers.provider import ActionFailed


def written(directory: Path) -> dict[str, str]:
    """The fields of the only message."""
    (file,) = directory.iterdir()
    fields: dict[str, str] = json.loads(file.read_text())
    return fields


async def test_only_this_user_can_read_messages(tmp_path: Path) -> None:
    directory = tmp_path / "data" / "messages"
    await MessageFiles(directory, ".txt").write(a_job(), b"Hi", OpenGate())
    (file,) = directory.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for each in (directory, directory.parent):
        assert stat.S_IMODE(each.stat().st_mode) == 0o700


async def test_a_file_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    """Nothing was sent, and an operator can make room."""
    (tmp_path / "messages").touch()
    with pytest.raises(ActionFailed, match="File exists") as failed:
        await MessageFiles(tmp_path / "messages", ".txt").write(a_job(), b"Hi", OpenGate())
    assert failed.value.outcome.kind is OutcomeKind.RETRY


def test_a_directory_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StartError, match=r"data/emails: File exists\. Set GOALD_DATA_DIR"):
        create_private(tmp_path / "data" / "emails")
    create_private(tmp_path / "new" / "emails")
    assert list((tmp_path / "new" / "emails").iterdir()) == []


async def test_a_message_to_the_admin_names_the_workflow_without_a_subject(tmp_path: Path) -> None:
    provider = TextFiles(tmp_path / "admin", admin_message, ManualClock())
    await provider.perform(a_job(), {"message": "It failed"}, OpenGate())
    assert written(tmp_path / "admin") == {
        "id": "key-0",
        "date": "2026-01-01T00:00:00+00:00",
        "tenant_id": "acme",
        "subject": "Workflow nurture",
        "message": "It failed",
    }


async def test_a_text_message_needs_a_number(tmp_path: Path) -> None:
    provider = TextFiles(tmp_path / "sms", text_message, ManualClock())
    await provider.perform(a_job(), {"to": "+49 30 123456", "text": "Hi"}, OpenGate())
    fields = written(tmp_path / "sms")
    assert (fields["to"], fields["text"]) == ("+4930123456", "Hi")
    with pytest.raises(ActionFailed) as failed:
        await provider.perform(a_job(), {"text": "Hi"}, OpenGate())
    assert failed.value.outcome.kind is OutcomeKind.SKIP
