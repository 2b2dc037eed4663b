"""Everything is installed by hashes from requirements/, and each of its files is in line with pyproject.toml."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.conftest import ROOT

FOLDER = ROOT / "requirements"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IMAGES = {"worker": "traces", "watch": "watch", "desk": "desk"}
ASKED = {
    "build": PROJECT["build-system"]["requires"],
    "dev": [*PROJECT["project"]["dependencies"], *(one for extra in EXTRAS.values() for one in extra)],
    **{image: [*PROJECT["project"]["dependencies"], *EXTRAS[extra]] for image, extra in IMAGES.items()},
}
FILES = sorted(ASKED)


def read_entries(name: str) -> list[str]:
    """The requirements of a file, each with its hashes and comments."""
    text = (FOLDER / f"{name}.txt").read_text()
    return [entry for entry in re.split(r"^(?=\w)", text, flags=re.MULTILINE) if not entry.startswith("#")]


def read_versions(name: str) -> dict[str, str]:
    pinned = [Requirement(entry.partition(" \\")[0]) for entry in read_entries(name)]
    return {one.name: str(one.specifier).removeprefix("==") for one in pinned}


def test_the_files_are_those_of_the_images_and_of_the_checkout() -> None:
    assert sorted(file.stem for file in FOLDER.glob("*.txt")) == FILES


@pytest.mark.parametrize("name", FILES)
def test_each_requirement_is_one_version_with_hashes(name: str) -> None:
    entries = read_entries(name)
    assert entries
    for entry in entries:
        assert re.match(r"[\w.-]+==[\w.]+( ; [^\\]+)? \\\n    --hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("name", FILES)
def test_each_file_answers_what_pyproject_asks_for(name: str) -> None:
    pinned = read_versions(name)
    for text in ASKED[name]:
        wanted = Requirement(text)
        version = pinned.get(canonicalize_name(wanted.name), "")
        assert version, f"{name}.txt lacks {text}: run make requirements"
        assert wanted.specifier.contains(version), f"{name}.txt has {version} for {text}: run make requirements"


@pytest.mark.parametrize("name", FILES)
def test_what_is_shipped_is_what_is_tested(name: str) -> None:
    assert read_versions(name).items() <= read_versions("dev").items()


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_a_place_to_install_from(name: str) -> None:
    text = (FOLDER / f"{name}.txt").read_text()
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile"])
def test_pip_takes_nothing_without_a_hash_but_what_was_built_here(file: str) -> None:
    text = (ROOT / file).read_text().replace("\\\n", " ")
    installs = re.findall(r"\bpip\b[^&\n]*?\binstall\b([^&\n]*)", text)
    assert len(installs) >= 4
    for one in installs:
        assert "--require-hashes -r requirements/" in one or re.search(r"--no-deps .*(-e \.|\*\.whl)$", one.strip()), (
            one
        )


@pytest.mark.parametrize("image", IMAGES)
def test_each_image_has_its_own_requirements_and_no_others(image: str) -> None:
    (stage,) = re.findall(rf"^FROM build AS build-{image}\n(.*?)\n\n", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert re.findall(r"requirements/(\w+)\.txt", stage) == [image]
    assert f"FROM base AS {image}\nCOPY --from=build-{image} /venv /venv\n" in DOCKERFILE


def test_nothing_is_built_for_an_image_but_our_wheel() -> None:
    assert "PIP_ONLY_BINARY=:all:" in DOCKERFILE
    assert re.findall(r"hatchling build.*", DOCKERFILE) == [
        "hatchling build -t wheel -d /wheel && python -m venv --without-pip /venv"
    ]


def test_a_wheel_with_another_hash_is_refused(built: Any, tmp_path: Path) -> None:
    """pip itself: what the files promise is kept."""
    wanted = tmp_path / "wanted.txt"
    wanted.write_text(f"budget-bridge==0.1.0 --hash=sha256:{'0' * 64}\n")
    options = ["--no-index", "--no-deps", "--find-links", built.wheel.parent, "--target", tmp_path / "into"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--require-hashes", "-r", wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr


@pytest.fixture(scope="session")
def sboms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    into = tmp_path_factory.mktemp("sbom")
    subprocess.run([sys.executable, FOLDER / "write_sbom.py", into], check=True)
    return {image: json.loads((into / f"sbom.{image}.json").read_text()) for image in IMAGES}


@pytest.mark.parametrize("image", IMAGES)
def test_the_bill_of_materials_names_every_package_of_the_image(sboms: dict[str, dict[str, Any]], image: str) -> None:
    sbom = sboms[image]
    licences = tomllib.loads((FOLDER / "licences.toml").read_text())["licences"]
    elsewhere = {"colorama", "httpx2-jsfetch"}  # for Windows, and for Python in a browser
    shipped = {name: version for name, version in read_versions(image).items() if name not in elsewhere}
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    assert {
        one["name"]: (one["version"], one["purl"], one["licenses"][0]["expression"]) for one in sbom["components"]
    } == {name: (version, f"pkg:pypi/{name}@{version}", licences[name]) for name, version in shipped.items()}
    ours = sbom["metadata"]["component"]
    assert (ours["name"], ours["version"]) == ("budget-bridge", PROJECT["project"]["version"])


@pytest.mark.parametrize("image", IMAGES)
def test_the_bill_of_materials_says_who_needs_what(sboms: dict[str, dict[str, Any]], image: str) -> None:
    needs = {one["ref"].partition("@")[0]: one["dependsOn"] for one in sboms[image]["dependencies"]}
    ours = {one.partition("@")[0] for one in needs["pkg:pypi/budget-bridge"]}
    assert ours == {f"pkg:pypi/{canonicalize_name(Requirement(one).name)}" for one in ASKED[image]}
    assert {one.partition("@")[0] for asked in needs.values() for one in asked} == needs.keys() - {
        "pkg:pypi/budget-bridge"
    }
