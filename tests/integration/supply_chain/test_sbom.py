"""`make sbom` names every locked package, and is the same on every machine."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[3]
AUDIT = ROOT / ".venv/audit/bin/python"

pytestmark = pytest.mark.skipif(
    not AUDIT.exists() or shutil.which("cargo") is None, reason="needs .venv/audit and cargo"
)


def written(target: Path) -> dict[str, str]:
    subprocess.run(
        [AUDIT, "-m", "scripts.supply_chain.sbom", target], cwd=ROOT, check=True, timeout=240
    )
    return {path.name: path.read_text(encoding="utf-8") for path in target.iterdir()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return written(tmp_path_factory.mktemp("sbom"))


def purls(bom: dict[str, Any]) -> set[str]:
    return {unquote(component["purl"]) for component in bom["components"]}


def test_every_locked_python_package_is_listed_with_its_hashes(files: dict[str, str]) -> None:
    bom = json.loads(files["goald-python.cdx.json"])
    lock = (ROOT / "requirements/daemon.txt").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==([^ ;\\]+)", lock, re.MULTILINE))
    assert purls(bom) == {f"pkg:pypi/{name}@{version}" for name, version in locked}
    assert len(locked) > 50
    hashes = {
        found["content"]
        for component in bom["components"]
        for reference in component["externalReferences"]
        for found in reference["hashes"]
    }
    assert hashes == set(re.findall(r"--hash=sha256:([0-9a-f]+)", lock))


def test_every_locked_crate_is_listed_with_its_checksum_and_license(files: dict[str, str]) -> None:
    bom = json.loads(files["goald-rust.cdx.json"])
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))["package"]
    assert purls(bom) == {f"pkg:cargo/{each['name']}@{each['version']}" for each in lock}
    hashes = {found["content"] for each in bom["components"] for found in each.get("hashes", ())}
    assert hashes == {each["checksum"] for each in lock if "checksum" in each}
    assert all(component["licenses"] for component in bom["components"])


def test_every_dependency_refers_to_a_listed_component(files: dict[str, str]) -> None:
    for text in files.values():
        bom = json.loads(text)
        listed = {component["bom-ref"] for component in bom["components"]} | {"goald"}
        references = {each["ref"] for each in bom["dependencies"]}
        references |= {other for each in bom["dependencies"] for other in each.get("dependsOn", ())}
        assert references <= listed
        assert all(each["bom-ref"] == unquote(each["purl"]) for each in bom["components"])
        assert bom["metadata"]["component"]["name"] == "goald"


def test_the_dependencies_of_each_crate_are_those_of_the_lock_file(files: dict[str, str]) -> None:
    bom = json.loads(files["goald-rust.cdx.json"])
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))["package"]
    locked = {
        f"{each['name']}@{each['version']}": {on.split()[0] for on in each.get("dependencies", ())}
        for each in lock
    }
    found = {
        each["ref"].removeprefix("pkg:cargo/"): {
            on.removeprefix("pkg:cargo/").partition("@")[0] for on in each.get("dependsOn", ())
        }
        for each in bom["dependencies"]
    }
    assert found.keys() - {"goald"} == locked.keys()
    assert all(found[crate] <= locked[crate] for crate in locked)
    own = [crate for crate in locked if crate.startswith("goald")]
    assert all(found[crate] == locked[crate] for crate in own)


def test_the_files_are_the_same_each_time_and_name_no_place(
    files: dict[str, str], tmp_path: Path
) -> None:
    assert written(tmp_path) == files
    for text in files.values():
        for private in (str(ROOT), str(Path.home()), "simple/", "index."):
            assert private not in text, private
        assert "timestamp" not in text
        assert "serialNumber" not in text
        assert "requirements line" not in text
        assert "--hash" not in text
        assert "implicit dist url" not in text
