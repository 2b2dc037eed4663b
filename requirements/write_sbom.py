"""Writes a software bill of materials (CycloneDX 1.6, JSON) for each image, from the pinned requirements alone.

``python requirements/write_sbom.py INTO`` writes ``INTO/sbom.IMAGE.json``. It reads only files of this checkout, so the
same checkout gives the same bytes on every machine.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from packaging.markers import Marker
from packaging.utils import canonicalize_name

HERE: Final = Path(__file__).parent
IMAGES: Final = ("worker", "watch", "desk")
IMAGE_PLATFORM: Final[Mapping[str, str]] = {
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "os_name": "posix",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}
"""What the image's Python answers where a requirement is for some platforms only."""
OURS: Final = "budget-bridge"


class Pinned(NamedTuple):
    """A package of an image, and who asks for it: other packages of it, or ``OURS``."""

    name: str
    version: str
    asked_by: tuple[str, ...]


def read_pinned(text: str) -> Iterator[Pinned]:
    """Read the packages that a file of requirements gives the image."""
    for entry in re.split(r"^(?=\w)", text, flags=re.MULTILINE):
        found = re.match(r"(?P<name>[\w.-]+)==(?P<version>\S+?)(?: ; (?P<marker>[^\\]+))? \\", entry)
        if found and (not found["marker"] or Marker(found["marker"]).evaluate(dict(IMAGE_PLATFORM))):
            asked_by = re.findall(r"^    # +(?:via )?([\w.-]+)(?: \(.*\))?$", entry, re.MULTILINE)
            yield Pinned(found["name"], found["version"], tuple(sorted({*asked_by} - {"via"})))


def describe(name: str, version: str, licence: str) -> dict[str, Any]:
    """Describe a package as a component; its licence is an SPDX expression."""
    purl = f"pkg:pypi/{canonicalize_name(name)}@{version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "licenses": [{"expression": licence}],
        "purl": purl,
    }


def make_sbom(image: str, project: Mapping[str, Any], licences: Mapping[str, str]) -> dict[str, Any]:
    """Make the bill of materials of one image."""
    text = (HERE / f"{image}.txt").read_text()
    pinned = list(read_pinned(text))
    components = {one.name: describe(one.name, one.version, licences[one.name]) for one in pinned}
    ours = describe(OURS, project["version"], project["license"]) | {"type": "application"}
    serial = uuid5(NAMESPACE_URL, f"{ours['purl']} {image} {text}")
    asked = {
        asker: sorted(components[one.name]["purl"] for one in pinned if asker in one.asked_by)
        for asker in (OURS, *components)
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "component": ours | {"properties": [{"name": "budget-bridge:image", "value": image}]},
            "lifecycles": [{"phase": "pre-build"}],
        },
        "components": list(components.values()),
        "dependencies": [
            {"ref": one["purl"], "dependsOn": asked[name]} for name, one in {OURS: ours, **components}.items()
        ],
    }


def main(into: Path) -> None:
    """Write the bill of materials of each image."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    licences = tomllib.loads((HERE / "licences.toml").read_text())["licences"]
    into.mkdir(parents=True, exist_ok=True)
    for image in IMAGES:
        sbom = make_sbom(image, project, licences)
        (into / f"sbom.{image}.json").write_text(json.dumps(sbom, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
