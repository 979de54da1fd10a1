"""The bill of materials of the Rust crates."""

from collections.abc import Mapping
from typing import Any

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL


def crates_bom(metadata: Mapping[str, Any], lock: Mapping[str, Any]) -> str:
    """The bill of materials, in JSON, of every package that `cargo metadata` and Cargo.lock
    name."""
    checksums = {(each["name"], each["version"]): each.get("checksum") for each in lock["package"]}
    licenses = LicenseFactory()
    components = {
        package["id"]: Component(
            type=ComponentType.LIBRARY,
            name=package["name"],
            version=package["version"],
            purl=PackageURL("cargo", name=package["name"], version=package["version"]),
            bom_ref=f"pkg:cargo/{package['name']}@{package['version']}",
            hashes=_hashes(checksums.get((package["name"], package["version"]))),
            licenses=[licenses.make_from_string(package["license"].replace("/", " OR "))]
            if package["license"]
            else None,
        )
        for package in metadata["packages"]
    }
    bom = Bom(components=components.values())
    for node in metadata["resolve"]["nodes"]:
        bom.register_dependency(
            components[node["id"]], [components[each] for each in node["dependencies"]]
        )
    return str(JsonV1Dot6(bom).output_as_string(indent=2))


def _hashes(checksum: str | None) -> list[HashType] | None:
    """The checksum of the package file; none for the packages of this repository."""
    return [HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else None
