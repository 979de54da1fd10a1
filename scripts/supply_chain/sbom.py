"""`make sbom`: CycloneDX bills of materials of the locked packages, in dist/.

The same lock files give the same bytes: without times, random numbers, addresses of registries and
paths of the machine.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from scripts.supply_chain.crates import crates_bom

ROOT = Path(__file__).resolve().parents[2]


def main(target: Path) -> None:
    """Write `goald-python.cdx.json` and `goald-rust.cdx.json` into a directory."""
    target.mkdir(parents=True, exist_ok=True)
    for name, bom in (("python", python_bom()), ("rust", rust_bom())):
        path = target / f"goald-{name}.cdx.json"
        path.write_text(json.dumps(bom, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{path}: {len(bom['components'])} components")


def python_bom() -> dict[str, Any]:
    """The packages of requirements/daemon.txt, with the hashes of their files."""
    command = ["-m", "cyclonedx_py", "requirements", "--output-reproducible", "--of", "JSON"]
    bom = json.loads(_output([sys.executable, *command, "requirements/daemon.txt"]))
    for component in bom["components"]:
        component["bom-ref"] = component["purl"]
        component.pop("description", None)  # the line of the file
        for reference in component.get("externalReferences", ()):
            reference["url"] = component["purl"]  # not the address of a registry
            reference.pop("comment", None)
    bom["dependencies"] = [{"ref": each["bom-ref"]} for each in bom["components"]]
    return _described(bom)


def rust_bom() -> dict[str, Any]:
    """The crates of Cargo.lock, with checksums, licenses and dependencies."""
    metadata = json.loads(_output(["cargo", "metadata", "--locked", "--format-version", "1"]))
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))
    return _described(json.loads(crates_bom(metadata, lock)))


def _described(bom: dict[str, Any]) -> dict[str, Any]:
    """With goald as the subject, and without what differs from run to run."""
    bom.pop("serialNumber", None)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = bom.setdefault("metadata", {})
    metadata.pop("timestamp", None)
    metadata["component"] = {
        "bom-ref": "goald",
        "type": "application",
        "name": "goald",
        "version": str(project["version"]),
    }
    return bom


def _output(command: list[str]) -> str:
    return subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    ).stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist")
