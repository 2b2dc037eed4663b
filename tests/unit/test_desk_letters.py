"""A dead letter can be shown whatever its bytes are, and quickly."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from contracts.records import Place
from contracts.topics import TopicNames
from desk.letter_text import SHOWN, LetterText, describe_letter
from outbox.dead_letters import ListedDeadLetter, StoredDeadLetter

LISTED = ListedDeadLetter(
    UUID(int=1),
    datetime(2026, 11, 24, tzinfo=UTC),
    "unreadable",
    "no JSON",
    None,
    None,
    Place("procore.budgets", 0, 7),
    (0, 9),
)


def describe(value: bytes | None, **headers: bytes | None) -> LetterText:
    return describe_letter(StoredDeadLetter(LISTED, b"1/2/3", value, tuple(headers.items())), TopicNames())


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (None, "nothing", ""),
        (b"\xff\x00", "bytes in hexadecimal", "ff 00"),
        (b"{not json", "text", "{not json"),
        (b'{"a":[1]}', "JSON", '{\n  "a": [\n    1\n  ]\n}'),
        (rb'"half: \ud800"', "JSON", r'"half: \ud800"'),
    ],
)
def test_a_letter_is_shown_in_the_plainest_form_of_its_bytes(value: bytes | None, form: str, text: str) -> None:
    shown = describe(value)
    assert (shown.form, shown.text, shown.is_cut) == (form, text, False)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (b"\xff" * 2_000, "bytes in hexadecimal"),
        (b"x" * 5_000, "text"),
        (b"[" * 400 + b"0," * 100_000 + b"0" + b"]" * 400, "JSON"),
        (b'"' + b"x" * 1_000_000 + b'"', "text"),
        (b"[" * 100_000, "text"),
    ],
)
def test_of_a_long_letter_the_beginning_is_shown(value: bytes, form: str) -> None:
    shown = describe(value, ce_id=b"x" * 100_000, ce_type=None)
    assert (shown.form, len(shown.text), shown.is_cut, shown.size) == (form, SHOWN, True, len(value))
    assert [(name, len(text)) for name, text in shown.headers] == [("ce_id", SHOWN), ("ce_type", 0)]
