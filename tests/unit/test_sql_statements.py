"""Every SQL statement is used, and every statement that is used exists."""

import re
from pathlib import Path

from outbox.queries import QUERIES

OUTBOX = Path(__file__).parents[2] / "outbox"


def test_statements_and_their_uses_agree() -> None:
    sources = "".join(file.read_text() for file in OUTBOX.glob("*.py"))
    assert {name for name in QUERIES if f'"{name}"' not in sources} == set()
    assert set(re.findall(r'QUERIES\["(\w+)"\]', sources)) <= QUERIES.keys()
