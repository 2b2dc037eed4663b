"""Every package that is pinned has a licence that is listed, allowed or reasoned for, and the one that it states."""

import re
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

import pytest

from tests.packaging.conftest import ROOT
from tests.packaging.test_requirements import IMAGES, read_versions

LISTED: dict[str, Any] = tomllib.loads((ROOT / "requirements" / "licences.toml").read_text())
LICENCES: dict[str, str] = LISTED["licences"]
REASONS: dict[str, str] = LISTED["reasons"]
FAMILIES = {
    "Apache": "Apache",
    "BSD": "BSD|Repoze",
    "GPL": "GPL|GNU General Public",
    "ISC": r"\bISC\b",
    "MIT": r"\bMIT\b",
    "MPL": "MPL|Mozilla",
    "PSF": "PSF|Python Software Foundation",
    "Unlicense": "Unlicense",
}


def list_problems(licences: dict[str, str]) -> list[str]:
    """What is wrong with the licences of the packages, a sentence each."""
    allowed = set(LISTED["allowed"])
    return [
        f"{name} is under {licence}: not on the list of allowed licences, and licences.toml gives no reason for it"
        for name, licence in licences.items()
        if not set(re.split(r" (?:AND|OR) ", licence)) <= allowed and name not in REASONS
    ]


def find_families(text: str) -> set[str]:
    return {family for family, pattern in FAMILIES.items() if re.search(pattern, text)}


def read_field(package: Distribution, name: str) -> str:
    return " ".join(package.metadata.get_all(name) or ())


def read_families(package: Distribution) -> set[str]:
    """What a package says of itself: its expression, else its classifiers, its field, or the start of its licence."""
    said = [
        read_field(package, "License-Expression"),
        " ".join(one for one in package.metadata.get_all("Classifier") or () if one.startswith("License ::")),
        read_field(package, "License")[:100],
        *((file.read_text() or "")[:200] for file in package.files or () if file.name.startswith("LICENSE")),
    ]
    return next(filter(None, map(find_families, said)), set())


def test_each_package_has_a_licence_and_each_licence_a_package() -> None:
    pinned = read_versions("dev").keys()
    assert pinned - LICENCES.keys() == set(), "add them to requirements/licences.toml"
    assert LICENCES.keys() - pinned == set(), "nothing needs them: take them out of requirements/licences.toml"


def test_each_licence_is_allowed_or_has_a_reason() -> None:
    assert list_problems(LICENCES) == []


def test_a_reason_is_given_only_where_one_is_needed() -> None:
    assert REASONS.keys() == {name for name in REASONS if set(LICENCES[name].split()) - set(LISTED["allowed"])}


@pytest.mark.parametrize("licence", ["AGPL-3.0-only", "MIT AND SSPL-1.0", "GPL-2.0-only OR MIT", "UNKNOWN"])
def test_a_new_package_under_another_licence_is_named(licence: str) -> None:
    (problem,) = list_problems({**LICENCES, "new-package": licence})
    assert problem.startswith(f"new-package is under {licence}: ")


@pytest.mark.parametrize("name", LICENCES)
def test_the_package_states_the_licence_that_is_listed(name: str) -> None:
    try:
        package = distribution(name)
    except PackageNotFoundError:
        pytest.skip("is for another platform or Python")
    if expression := read_field(package, "License-Expression"):
        assert LICENCES[name] == expression
    else:
        assert read_families(package) == find_families(LICENCES[name])


@pytest.mark.parametrize("image", IMAGES)
def test_no_image_has_a_package_whose_reason_is_that_none_has_it(image: str) -> None:
    absent = {name for name, reason in REASONS.items() if "in no image" in reason}
    assert absent
    assert absent & read_versions(image).keys() == set()
