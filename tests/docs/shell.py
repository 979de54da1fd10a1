"""One Bash session, in which the commands of a page run as in a reader's terminal."""

import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

DEADLINE_S = 120.0
"""For one command; far longer than any takes on an idle machine."""

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_VARIABLE = [
    (re.compile(_UUID), _UUID),
    (re.compile(r"\b\d{13}-\d+\b"), r"\d{13}-\d+"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), r"[\d-]{10}T[\d:.]{8,15}Z"),
    (re.compile(r"\b\d\d:\d\d:\d\d\.\d{3}\b"), r"\d\d:\d\d:\d\d\.\d{3}"),
    (re.compile(r"\b\d+(?:\.\d+)? m?s\b"), r"\d+(?:\.\d+)? m?s"),
    (re.compile(r"(?<=127\.0\.0\.1:)\d+"), r"\d+"),
    (re.compile(r"\b[\d,]+ rows in \d+ chains?\b"), r"[\d,]+ rows in \d+ chains?"),
    (re.compile(r"…|\.\.\."), r".*"),
]
"""Texts that differ from run to run; `…` and `...` stand for anything within a line."""


class Shell:
    """A Bash process with a working directory and an environment. Not interactive."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._scratch = directory / ".shell"
        self._scratch.mkdir(parents=True)
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def run(
        self, command: str, until: Sequence[str] | None = None, deadline_s: float = DEADLINE_S
    ) -> tuple[int, str]:
        """Run a command; its exit status and output, standard error included.

        The status of a script of several lines is that of the last line that failed. With `until`,
        Ctrl-C is pressed once these lines are printed. AssertionError after the deadline.
        """
        script, output = self._scratch / "command", self._scratch / "output"
        script.write_text(command)
        output.write_bytes(b"")
        self._send(
            f"trap 'failed=$?' ERR; failed=0; source '{script}' </dev/null >'{output}' 2>&1; "
            "status=$?; trap - ERR; echo $((failed ? failed : status))\n"
        )
        deadline = time.monotonic() + deadline_s
        if until is not None:
            self._interrupt_after(output, until, deadline)
        status = self._line(deadline, output)
        return int(status), output.read_text(errors="replace")

    def close(self) -> None:
        """End the session and every process that it left behind."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        for child in children:
            if child.is_running():
                child.terminate()
        psutil.wait_procs(children, timeout=30)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _send(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def _line(self, deadline: float, output: Path) -> str:
        assert self._process.stdout is not None
        ready, _, _ = select.select(
            [self._process.stdout], [], [], max(0.0, deadline - time.monotonic())
        )
        assert ready, f"the command did not end in time:\n{output.read_text(errors='replace')}"
        return self._process.stdout.readline().decode()

    def _interrupt_after(self, output: Path, lines: Sequence[str], deadline: float) -> None:
        while not matches(lines, output.read_text(errors="replace")):
            assert time.monotonic() < deadline, (
                f"not printed in time:\n{chr(10).join(lines)}\nbut:\n{output.read_text()}"
            )
            time.sleep(0.05)
        for child in psutil.Process(self._process.pid).children():
            child.send_signal(signal.SIGINT)


def matches(expected: Sequence[str], printed: str) -> bool:
    """Whether output is what a page shows. A line that is only `...` stands for any lines;
    ids, times, durations and ports may differ."""
    pattern = ""
    for line in expected:
        if line.strip() in {"...", "…"}:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += _pattern(line.rstrip()) + r"[ ]*\n"
    whole = printed if printed.endswith("\n") or not printed else printed + "\n"
    return re.fullmatch(pattern, whole) is not None


def _pattern(line: str) -> str:
    at, pattern = 0, ""
    while at < len(line):
        for variable, replacement in _VARIABLE:
            if found := variable.match(line, at):
                pattern += replacement
                at = found.end()
                break
        else:
            pattern += re.escape(line[at])
            at += 1
    return pattern
