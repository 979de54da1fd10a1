"""Runs `goald` commands without loading goald for each: a server loads it once, and forks for each
command.

Loading Python packages takes most of the time of a command, and the pages run more than fifty. Each
command still gets its own process, arguments, environment, working directory and standard
streams. Pages that put `.venv/bin` on the path themselves, such as the README, run the installed
`goald`; so does every command that needs a fresh interpreter (`FRESH`).

`python -m tests.docs.preloaded SOCKET` is the server. The program that `goald_on_path` writes is
its client.
"""

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

MODULES = (
    "goald.cli.main",
    "goald.client",
    "goald.configuration.service",
    "goald.operations.status",
    "goald.runtime.doctor.diagnosis",
    "goald.runtime.wiring.daemon",
    "goald.runtime.wiring.operations",
    "goald.settings",
)
FRESH = ("serve", "api")
"""Commands that start processes and handle signals."""
DEADLINE_S = 60.0

_CLIENT = """#!{python} -IS
import array, json, os, signal, socket, sys
if sys.argv[1:2] and sys.argv[1] in {fresh!r}:
    os.execv({goald!r}, [{goald!r}, *sys.argv[1:]])
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
call = json.dumps([sys.argv, dict(os.environ), os.getcwd()]).encode()
socket.send_fds(connection, [len(call).to_bytes(4, "big")], [0, 1, 2])
connection.sendall(call)
replies = connection.makefile("rb")
pid = int(replies.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda received, frame: os.kill(pid, received))
sys.exit(int(replies.readline() or 70))
"""


@contextlib.contextmanager
def goald_on_path(directory: Path) -> Iterator[Path]:
    """Yields the folder of a program `goald`, for the path. The server ends with the `with`
    block."""
    address = directory / "socket"
    folder = directory / "bin"
    folder.mkdir()
    client = folder / "goald"
    goald = str(Path(sys.executable).with_name("goald"))
    client.write_text(
        _CLIENT.format(python=sys.executable, fresh=FRESH, goald=goald, address=str(address))
    )
    client.chmod(0o755)
    server = subprocess.Popen([sys.executable, "-m", __name__, str(address)])
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not address.exists():
            assert server.poll() is None, "the server of the preloaded goald has ended"
            assert time.monotonic() < deadline, "the server of the preloaded goald does not listen"
            time.sleep(0.02)
        yield folder
    finally:
        server.terminate()
        server.wait(DEADLINE_S)


def serve(address: str) -> None:
    """Load goald, then run the commands of clients until SIGTERM."""
    for name in MODULES:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # clients learn the exit code from the command
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address + ".new")
        listener.listen()
        os.rename(address + ".new", address)
        while True:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _run(connection)


def _run(connection: socket.socket) -> None:
    """Run one command in this process, with the standard streams of its client, and exit."""
    code = 70
    try:
        head, streams, _, _ = socket.recv_fds(connection, 4, 3)
        call = b""
        while len(call) < int.from_bytes(head, "big"):
            call += connection.recv(1 << 16)
        arguments, environment, directory = json.loads(call)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = arguments
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        connection.sendall(b"%d\n" % os.getpid())
        threading.Thread(target=_end_with_the_client, args=(connection,), daemon=True).start()
        from goald.cli.main import main

        code = main(arguments[1:])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            connection.sendall(b"%d\n" % code)
        os._exit(code)


def _end_with_the_client(connection: socket.socket) -> None:
    """End this process when its client has ended."""
    while connection.recv(1):
        pass
    os._exit(70)


if __name__ == "__main__":
    serve(sys.argv[1])
