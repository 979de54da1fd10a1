"""As whom Postgres runs: it refuses root, and containers often are nothing else."""

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

_NOBODY = 65534
_USERS = ("postgres", "nobody")


@dataclass(frozen=True)
class Identity:
    """How to start a process that must not be root."""

    prefix: tuple[str, ...] = ()
    """A program that becomes the process given after it."""
    user: int | None = None
    """The user to become; None where we stay who we are."""
    group: int | None = None

    @classmethod
    def choose(cls) -> Self:
        """Ourselves, unless we are root. Root becomes nobody in a user namespace, where the
        files stay ours; where that is forbidden, another user of this system.

        StartError where none of these works, saying what was tried.
        """
        if os.geteuid() != 0:
            return cls()
        unshare = shutil.which("unshare")
        if unshare:
            prefix = (unshare, "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}")
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
            "Postgres refuses to run as root, and neither way around works here: "
            "`unshare --user` is "
            + ("not permitted" if unshare else "not installed (util-linux)")
            + f", and no user of {', '.join(_USERS)} exists that may run {sys.executable}. "
            "Start goald as an ordinary user."
        )

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` as this identity, with `user` and `group`."""
        return [*self.prefix, *command]

    def can_run(self, *command: str) -> bool:
        """Whether this command ends well as this identity. Blocks until it does."""
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
        """Make a directory this identity's. StartError where it cannot get to it then."""
        if self.user is not None and self.group is not None:
            for path in (directory, *directory.rglob("*")):
                os.chown(path, self.user, self.group, follow_symlinks=False)
        if not self.can_run("/bin/sh", "-c", 'test -w "$1" && test -x "$1"', "sh", str(directory)):
            raise StartError(
                f"Postgres refuses to run as root, and without root's rights {directory} cannot be "
                "written to: a directory above it is closed to others. Start goald as an ordinary "
                "user, or name another directory with --data-dir."
            )
