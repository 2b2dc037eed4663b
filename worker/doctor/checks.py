"""What the doctor says of each thing that the bridge stands on: whether it is well and, if not, what to do.

It only looks. What it cannot try without changing something, such as writing to a topic, it leaves to ``run``.
"""

from collections.abc import AsyncIterator
from typing import Literal, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from outbox.database import DatabaseDown
from worker.kafka.errors import KafkaDown

CheckState = Literal["ok", "look", "wrong"]


class Check(NamedTuple):
    """One thing that was looked at."""

    about: str
    """Such as ``topics``: what belongs together."""
    state: CheckState
    found: str
    to_do: str = ""


Checks = AsyncIterator[Check]


async def keep_going(about: str, checks: Checks) -> Checks:
    """Give what was found, and where that breaks off, why: whatever else there is can still be looked at."""
    try:
        async for check in checks:
            yield check
    except KafkaDown as down:
        if "Authorization" in str(down):
            to_do = "give this user the ACLs that docs/operations.md lists"
            yield Check("permissions", "wrong", f"{about}: Kafka does not permit to look at it: {down}", to_do)
        else:
            to_do = "start it, or mend KAFKA_BOOTSTRAP and the security settings"
            yield Check(about, "wrong", f"Kafka does not answer as it should: {down}", to_do)
    except DatabaseDown as down:
        yield Check(about, "wrong", f"the database does not answer as it should: {down}", "see its own log")


def show_checks(checks: list[Check], console: Console) -> None:
    """Show what was found to a person: what is wrong stands out, and what to do is below it."""
    styles = {"ok": "green", "look": "yellow", "wrong": "bold red"}
    table = Table(box=None, pad_edge=False, show_header=False)
    for name in ("about", "state", "found"):
        table.add_column(name, overflow="fold", no_wrap=name != "found")
    before = ""
    for check in checks:
        table.add_row(
            check.about if check.about != before else "", f"[{styles[check.state]}]{check.state}", escape(check.found)
        )
        if check.to_do and check.state != "ok":
            table.add_row("", "", f"[dim]→[/dim] {escape(check.to_do)}")
        before = check.about
    console.print(table)
    counts = {state: sum(check.state == state for check in checks) for state in styles}
    console.print(f"\n{counts['ok']} well, {counts['look']} to look at, {counts['wrong']} wrong")
