"""Prints dead letters, and writes them as JSON."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from contracts.fields import write_time
from outbox.dead_letters import DeadLetterCount, ListedDeadLetter, StoredDeadLetter
from worker.console import Console

_SHOWN: Final = 4000
"""How many characters of a value, or bytes if it is no text, are shown unless all are wanted."""


def write_dead_letters(letters: Sequence[ListedDeadLetter], counts: Sequence[DeadLetterCount]) -> dict[str, object]:
    """Write a list of dead letters as JSON values: the total, the count of each reason, and the listed ones."""
    return {
        "total": sum(count.letters for count in counts),
        "reasons": {count.reason: count.letters for count in counts},
        "dead_letters": [
            {
                "id": str(one.id),
                "at": write_time(one.at),
                "reason": one.reason,
                "detail": one.detail,
                "budget": one.budget._asdict() if one.budget else None,
                "message_id": one.message_id,
                "origin": one.origin._asdict(),
            }
            for one in letters
        ],
    }


def print_dead_letters(
    letters: Sequence[ListedDeadLetter], counts: Sequence[DeadLetterCount], console: Console
) -> None:
    """Print a list of dead letters, and below it the count of each reason and how many are not listed."""
    if not counts:
        console.print_line("there are no dead letters of this kind")
        return
    console.print_table(
        ("id", "at", "reason", "detail"), [(str(one.id), write_time(one.at), one.reason, one.detail) for one in letters]
    )
    console.print_line()
    console.print_table(
        ("reason", "dead letters", "first", "last"),
        [(one.reason, str(one.letters), write_time(one.first_at), write_time(one.last_at)) for one in counts],
    )
    total = sum(count.letters for count in counts)
    if total > len(letters):
        console.print_line(f"{total} in all; the latest {len(letters)} are listed (--limit)")


def print_dead_letter(letter: StoredDeadLetter, console: Console, *, full: bool) -> None:
    """Print one dead letter: what is wrong, where it was received, and its bytes, decoded as far as possible."""
    one = letter.listed
    topic, partition, offset = one.origin
    console.print_line(f"{one.reason}: {one.detail}", style="bold")
    console.print_line(f"received at {write_time(one.at)} on {topic}, partition {partition}, offset {offset}")
    console.print_line(f"in the inbox at partition {one.inbox[0]}, offset {one.inbox[1]}")
    if one.budget:
        console.print_line(f"budget {one.budget}, message {one.message_id}")
    console.print_line(f"key: {_decode(letter.key, full=full)}")
    for name, value in letter.headers:
        console.print_line(f"header {name}: {_decode(value, full=full)}")
    console.print_line(f"value, {len(letter.value or b'')} bytes:")
    console.print_text(_decode(letter.value, full=full))


def _decode(value: bytes | None, *, full: bool) -> str:
    """Decode bytes as JSON or as text, or write them in hexadecimal."""
    if value is None:
        return "null"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        shown = value if full else value[:_SHOWN]
        return shown.hex(" ") + _count_more(len(value) - len(shown), "bytes")
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    shown_text = text if full else text[:_SHOWN]
    return shown_text + _count_more(len(text) - len(shown_text), "characters")


def _count_more(more: int, what: str) -> str:
    return f"\n… and {more} more {what} (--full)" if more > 0 else ""
