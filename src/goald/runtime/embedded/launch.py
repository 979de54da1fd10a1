"""Executes a program that ends when its parent ends. Run as a script, in a new process:

    python -I -S launch.py PARENT SIGNAL PROGRAM [ARGUMENT ...]

Asks the kernel (Linux) to send SIGNAL to this process when the thread of PARENT that started it
ends, then executes PROGRAM in its place. It is a script and not a `preexec_fn`, because that may
deadlock in a process with threads, and because a change of user or user namespace before the
program starts would cancel the request. It imports nothing of goald, so that it starts fast.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Does not return. Exits with 1 if PARENT has already ended."""
    parent, signal_number, *command = arguments
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0) != 0:
            sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):
        sys.exit(1)  # the parent ended before the request, so no signal would come
    try:
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
