"""The page about the rules lists every policy with its default, and every column of every table."""

import re
import tomllib
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

from handlers.rules import SECTION, Rules, name_policy
from worker import rules_files, signer_files
from worker.durations import parse_duration

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()


def test_every_policy_is_listed_with_its_section_and_default() -> None:
    listed = {
        found[2]: (found[1], tomllib.loads(f"value = {found[3]}")["value"])
        for found in re.finditer(r"^\| `(\w+)` \| `(\w+)` \| `([^`]+)` \|", PAGE, re.MULTILINE)
    }
    policies = {
        key: (section, sorted(one.default) if isinstance(one.default, frozenset) else one.default)
        for one in fields(Rules)
        if SECTION in one.metadata
        for section, key in [name_policy(one)]
    }
    read = {
        name: (section, parse_duration(value) if isinstance(policies[name][1], timedelta) else value)
        for name, (section, value) in listed.items()
    }
    assert read == policies


def test_every_column_is_listed_in_its_order() -> None:
    source = "".join(Path(str(one.__file__)).read_text() for one in (rules_files, signer_files))
    tables = {
        found[1]: re.findall(r"^\| `(\w+)` \|", found[2], re.MULTILINE)
        for found in re.finditer(r"## `(\w+\.csv)`(.*?)(?=\n#+ |\nSpectrum's keys)", PAGE, re.DOTALL)
    }
    assert tables.keys() == set(re.findall(r'"(\w+\.csv)"', source))
    for columns in tables.values():
        assert ", ".join(f'"{column}"' for column in columns) in source
