"""The verdict on the outcome of an audit tool.

The advisory databases are on the internet. If they cannot be reached, the audit is skipped and
reports that; if they can, an advisory fails it. A tool that fails for any other reason fails it
too.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["passed", "skipped", "failed"]

_UNREACHABLE = re.compile(
    r"NameResolutionError|Connection ?Error|ConnectTimeout|ReadTimeout|ProxyError"
    r"|failed to (resolve|connect|fetch)|could not resolve host|couldn't connect|network failure"
    r"|connection (refused|timed out|reset)|error sending request|dns error|timed out",
    re.IGNORECASE,
)
"""In the output of pip-audit and of cargo-deny, which fetches with git."""
_TAIL_LINES = 30


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check, with the lines to print."""

    state: State
    text: str


def of_pip_audit(code: int, output: str, errors: str) -> Verdict:
    """The result of `pip-audit -f json`. Its exit code is 1 for vulnerabilities and for a missing
    network, and 0 if no package could be looked up, so the output decides."""
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return _of_failure("pip-audit", code, errors)
    unknown = [f"  {each['name']}: {each['skip_reason']}" for each in packages if _skipped(each)]
    found = [
        f"  {each['name']} {each['version']}: {vulnerability['id']}, fixed in "
        f"{', '.join(vulnerability['fix_versions']) or 'no release'}"
        for each in packages
        for vulnerability in each.get("vulns", ())
    ]
    if found:
        return Verdict("failed", "\n".join([f"{len(found)} known vulnerabilities:", *found]))
    if unknown or not packages:
        return Verdict("failed", "\n".join(["packages that could not be audited:", *unknown]))
    if code:
        return _of_failure("pip-audit", code, errors)
    return Verdict("passed", f"{len(packages)} packages without a known vulnerability")


def of_cargo_deny(checks: str, code: int, errors: str) -> Verdict:
    """The result of `cargo deny check CHECKS`. Only the advisories need a network."""
    if code == 0:
        return Verdict("passed", f"{checks}: no findings")
    if checks == "advisories" and not re.search(r"\b(RUSTSEC|CVE|GHSA)-", errors):
        return _of_failure("cargo-deny", code, errors)
    return Verdict("failed", _tail(errors))


def _of_failure(tool: str, code: int, errors: str) -> Verdict:
    if _UNREACHABLE.search(errors):
        return Verdict("skipped", "the advisory database cannot be reached from here")
    return Verdict("failed", f"{tool} ended with {code}:\n{_tail(errors)}")


def _skipped(package: dict[str, Any]) -> bool:
    return "skip_reason" in package


def _tail(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-_TAIL_LINES:])
