"""An advisory fails the audit, a database that cannot be reached skips it, and anything else that
goes wrong does not pass unnoticed."""

import json
from typing import Any

import pytest
from scripts.supply_chain.verdict import of_cargo_deny, of_pip_audit

OFFLINE = "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='db.example', port=443)"
GIT_OFFLINE = "error: failed to fetch advisory database: Could not resolve host: db.example"
CLEAN = {"name": "redis", "version": "6.4.0", "vulns": []}
ADVISORY = {"id": "PYSEC-2026-1", "fix_versions": ["6.4.1"], "description": "bad"}
VULNERABLE = CLEAN | {"vulns": [ADVISORY]}
UNKNOWN = {"name": "redis", "skip_reason": "Dependency not found"}


def pip_audit(*packages: dict[str, Any], code: int = 0) -> tuple[str, str]:
    verdict = of_pip_audit(code, json.dumps({"dependencies": packages, "fixes": []}), "")
    return verdict.state, verdict.text


def test_packages_without_an_advisory_pass() -> None:
    assert pip_audit(CLEAN) == ("passed", "1 packages without a known vulnerability")


@pytest.mark.parametrize("code", [0, 1])
def test_an_advisory_fails_with_any_exit_code(code: int) -> None:
    state, text = pip_audit(CLEAN, VULNERABLE, code=code)
    assert state == "failed"
    assert "redis 6.4.0: PYSEC-2026-1, fixed in 6.4.1" in text


def test_packages_that_were_not_looked_up_do_not_pass() -> None:
    """pip-audit ends with 0 although it looked up nothing."""
    assert pip_audit(UNKNOWN)[0] == "failed"
    assert pip_audit()[0] == "failed"


@pytest.mark.parametrize("errors", [OFFLINE, "timed out after 180 s", "ReadTimeout: 10"])
def test_an_unreachable_database_skips(errors: str) -> None:
    verdict = of_pip_audit(1, "", errors)
    assert (verdict.state, "cannot be reached" in verdict.text) == ("skipped", True)


@pytest.mark.parametrize("output", ["", "[]", "{}", "usage: pip-audit"])
def test_another_failure_of_the_tool_fails(output: str) -> None:
    verdict = of_pip_audit(2, output, "error: invalid hash")
    assert verdict.state == "failed"
    assert "invalid hash" in verdict.text


def test_cargo_deny_passes_with_exit_code_0() -> None:
    assert of_cargo_deny("advisories", 0, "").state == "passed"


def test_an_advisory_of_a_crate_fails_also_if_the_output_mentions_the_network() -> None:
    errors = "error[vulnerability]: connection refused is not handled\n  ID: RUSTSEC-2026-0001"
    assert of_cargo_deny("advisories", 1, errors).state == "failed"


def test_only_the_advisories_of_crates_are_skipped_without_a_network() -> None:
    assert of_cargo_deny("advisories", 1, GIT_OFFLINE).state == "skipped"
    assert of_cargo_deny("bans licenses sources", 4, GIT_OFFLINE).state == "failed"
    assert of_cargo_deny("advisories", 1, "error: deny.toml is invalid").state == "failed"
