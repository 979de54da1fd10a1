"""The user that Postgres runs as: it refuses to run as root, which is common in containers."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from goald.domain.errors import StartError

_UNPRIVILEGED_ID = 65534
_USERS = ("postgres", "nobody")


@dataclass(frozen=True)
class Identity:
    """How to start a process that must not run as root."""

    prefix: tuple[str, ...] = ()
    """A command that executes the command after it."""
    user: int | None = None
    """The user id to switch to; None for the current user."""
    group: int | None = None

    @classmethod
    def choose(cls) -> Self:
        """The current user, unless it is root. Root becomes an unprivileged user in a user
        namespace, in which the files keep their owner; if that is forbidden, another user of this
        system.

        Raises StartError, listing the attempts, if nothing works.
        """
        if os.geteuid() != 0:
            return cls()
        unshare = shutil.which("unshare")
        if unshare:
            prefix = (
                unshare,
                "--user",
                f"--map-user={_UNPRIVILEGED_ID}",
                f"--map-group={_UNPRIVILEGED_ID}",
            )
            identity = cls(prefix=prefix)
            if identity.can_run(sys.executable, "-I", "-S", "-c", ""):
                return identity
        for name in _USERS:
            try:
                user = pwd.getpwnam(name)
            except KeyError:
                continue
            identity = cls(user=user.pw_uid, group=user.pw_gid)
            if identity.can_run(sys.executable, "-I", "-S", "-c", ""):
                return identity
        raise StartError(
            "Postgres refuses to run as root, and no other user can be used here: "
            "`unshare --user` is "
            + ("not permitted" if unshare else "not installed (util-linux)")
            + f", and none of the users {', '.join(_USERS)} can run {sys.executable}. "
            "Start goald as an ordinary user."
        )

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` as this identity, with `user` and `group`."""
        return [*self.prefix, *command]

    def can_run(self, *command: str) -> bool:
        """Whether this command succeeds as this identity. Blocks until it ends."""
        try:
            done = subprocess.run(
                self.command(command),
                check=False,
                capture_output=True,
                timeout=30,
                user=self.user,
                group=self.group,
                extra_groups=[] if self.user is not None else None,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0

    def own(self, directory: Path) -> None:
        """Make this identity the owner of a directory. Raises StartError if it cannot access it
        afterwards."""
        if self.user is not None and self.group is not None:
            for path in (directory, *directory.rglob("*")):
                os.chown(path, self.user, self.group, follow_symlinks=False)
        if not self.can_run("/bin/sh", "-c", 'test -w "$1" && test -x "$1"', "sh", str(directory)):
            raise StartError(
                f"Postgres refuses to run as root, and another user cannot write to {directory}, "
                "because a directory above it is closed to other users. Start goald as an ordinary "
                "user, or use another directory with --data-dir."
            )
