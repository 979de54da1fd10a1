"""The demo keeps its newest e-mails, and touches no others."""

import os
from pathlib import Path

from goald.runtime.demo.mail import delete_old_mail
from goald.runtime.demo.trials import MAIL_DOMAIN


def write(directory: Path, name: str, to: str, at: int) -> None:
    path = directory / name
    path.write_bytes(f"From: goald\r\nTo: {to}\r\nSubject: x\r\n\r\nTo: a@{MAIL_DOMAIN}".encode())
    os.utime(path, (at, at))


def test_only_the_oldest_emails_of_the_demo_are_deleted(tmp_path: Path) -> None:
    write(tmp_path, "theirs.eml", "bea@example.com", 0)
    for at in range(1, 5):
        write(tmp_path, f"{at}.eml", f"a@{MAIL_DOMAIN}", at)
    delete_old_mail(tmp_path, 2)
    assert {each.name for each in tmp_path.iterdir()} == {"theirs.eml", "3.eml", "4.eml"}


def test_a_directory_that_does_not_exist_has_no_emails(tmp_path: Path) -> None:
    delete_old_mail(tmp_path / "emails", 2)
    assert list(tmp_path.iterdir()) == []
