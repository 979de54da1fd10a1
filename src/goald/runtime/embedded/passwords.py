"""The passwords of the embedded Postgres, generated once per data directory."""

import os
import re
import secrets
from pathlib import Path
from typing import Final, Self

from goald.runtime.embedded.secret import write_private

FILE: Final = "postgres-passwords"
ADMIN: Final = "postgres"
"""The superuser that initdb creates."""
LOGIN: Final = "goald"
"""The login of the daemon."""
HBA: Final = """\
# Written by goald at each start. The passwords are in the file postgres-passwords of the data
# directory.
local all all scram-sha-256
"""
"""pg_hba.conf: no connection without a password, and none over TCP."""
_BYTES: Final = 32
_LINE: Final = re.compile(r"\*:\*:\*:(\w+):([\w-]{43})", re.ASCII)


class Passwords:
    """The password of each login, for `postgres-passwords` of a data directory: a password file of
    libpq (PGPASSFILE), readable by this user only.

    The caller must hold the lock of the data directory.
    """

    def __init__(self, path: Path, by_login: dict[str, str], *, is_saved: bool) -> None:
        self.path = path
        self.is_saved = is_saved
        """Whether the file has these passwords."""
        self._by_login = by_login

    @classmethod
    def of(cls, data_dir: Path) -> Self:
        """The passwords in the file, or new ones, which are not saved yet. Raises OSError."""
        path = data_dir / FILE
        try:
            lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        saved = {found[1]: found[2] for line in lines if (found := _LINE.fullmatch(line))}
        if saved.keys() == {ADMIN, LOGIN}:
            return cls(path, saved, is_saved=True)
        new = {login: secrets.token_urlsafe(_BYTES) for login in (ADMIN, LOGIN)}
        return cls(path, new, is_saved=False)

    def __getitem__(self, login: str) -> str:
        return self._by_login[login]

    def statement(self, login: str) -> str:
        """The SQL that sets the password of a login. The passwords contain no quotes."""
        return f"ALTER ROLE {login} PASSWORD '{self[login]}'"

    def save(self) -> None:
        """Write the file. It is complete, or unchanged. Raises OSError."""
        lines = [f"*:*:*:{login}:{password}\n" for login, password in self._by_login.items()]
        write_private(self.path, "".join(lines))
        self.is_saved = True


def requires_passwords(cluster: Path) -> bool:
    """Whether pg_hba.conf of these Postgres files is HBA. False for files that an earlier goald
    created, which trusted every local connection. Raises OSError."""
    return (cluster / "pg_hba.conf").read_text(encoding="utf-8", errors="replace") == HBA


def require_passwords(cluster: Path) -> None:
    """Write HBA. The file keeps its owner. Follows no symbolic link: the owner of the directory may
    be another user. Raises OSError."""
    path = cluster / "pg_hba.conf"
    found = path.lstat()
    write_private(path, HBA)
    if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(path, found.st_uid, found.st_gid, follow_symlinks=False)
