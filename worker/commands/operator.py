"""The commands by which an operator speaks to a budget: each asks who and why, sends a message, awaits its verdict."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import typer

from contracts.budget_key import BudgetKey
from contracts.fields import write_time
from outbox.deployment import BudgetRecord
from worker.commands.shared import ANSWER_IS_NO, Key, find_story, read_key, tell_problems
from worker.kafka.connection import connect_kafka
from worker.operator_messages import Said, say_acknowledgement, say_release, say_reset, say_retry, send_said
from worker.settings import ServerSettings, read_settings

ANSWER_SECONDS: Final = 15.0

By = Annotated[str, typer.Option(prompt="Who are you", help="Who says so; it stays in the history.")]
Why = Annotated[str, typer.Option(prompt="Why", help="For what reason; it stays in the history.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")]


def retry(key: Key, by: By, why: Why) -> None:
    """Send the last export of a budget again, after it failed or was not answered in time."""
    _say(key, lambda budget, story: say_retry(budget, _find_version(story), by, why))


def release(
    key: Key,
    by: By,
    why: Why,
    action: Annotated[
        Literal["retry", "skip"], typer.Option(help="Take up all that is held, or all but the first message.")
    ] = "retry",
) -> None:
    """Let a budget on hold go on: what is held of it is taken up again, in order."""
    _say(key, lambda budget, story: say_release(budget, _find_version(story), by, why, action))


def reset(key: Key, by: By, why: Why, *, yes: Yes = False) -> None:
    """Give the job of a budget free, after a look in Spectrum: its earlier exports no longer count."""

    def write(budget: BudgetKey, story: BudgetRecord) -> Said:
        exports = [sent for sent in story.sent if sent.type in {"spectrum.export.v1", "spectrum.resync.v1"}]
        typer.echo(
            f"Spectrum may hold something of budget {budget}: {len(exports)} exports or attempts were sent"
            + (f", the last at {write_time(exports[-1].at)}" if exports else "")
            + (f"; those before {write_time(story.pruned_before)} are pruned." if story.pruned_before else ".")
        )
        typer.echo(
            "Look there first. A reset says: the ERP side will apply nothing more of them, and what stands there of "
            "it is\ncleared by hand, or left to be overwritten by this budget's own next export to the same job."
        )
        if not yes and not typer.confirm("Have you looked, and is it so?"):
            raise typer.Exit(ANSWER_IS_NO)
        return say_reset(budget, _find_version(story), by, why)

    _say(key, write)


def acknowledge(
    key: Key,
    by: By,
    why: Why,
    status: Annotated[
        Literal["success", "failed"],
        typer.Option(help="success: every line stands in Spectrum; failed: nothing was applied."),
    ],
    *,
    yes: Yes = False,
) -> None:
    """Answer an export in Spectrum's place, which took it or did not, but never said so."""

    def write(budget: BudgetKey, story: BudgetRecord) -> Said:
        shown = story.status
        if shown is None or shown.export_id is None:
            typer.echo(f"the current version of budget {budget} has no export that could be acknowledged", err=True)
            raise typer.Exit(ANSWER_IS_NO)
        typer.echo(f"Version {shown.budget_version}, attempt {shown.attempt}, export {shown.export_id}: {status}.")
        if not yes and not typer.confirm("Have you looked in Spectrum, and is it so?"):
            raise typer.Exit(ANSWER_IS_NO)
        now = write_time(datetime.now(UTC))  # noqa: TID251 - when a person said it
        return say_acknowledgement(shown, by, why, status, now)

    _say(key, write)


def _say(key: str, write: Callable[[BudgetKey, BudgetRecord], Said]) -> None:
    """Say something to a budget that is known, and tell what became of it."""
    with tell_problems():
        settings = read_settings(ServerSettings)
        budget = read_key(key)
        said = write(budget, asyncio.run(find_story(settings, budget)))
        message_id = asyncio.run(send_said(connect_kafka(settings), settings.topics, said))
        typer.echo(f"sent {said.type} {message_id}")
        answer = asyncio.run(_wait_for_verdict(settings, budget, message_id))
        if answer is None:
            typer.echo(
                f"no verdict within {ANSWER_SECONDS:.0f} s; is a worker running? `budget-bridge status {budget}`"
            )
            raise typer.Exit(ANSWER_IS_NO)
        verdict, detail = answer
        typer.echo(f"{verdict}: {detail}")
        if verdict != "applied":
            raise typer.Exit(ANSWER_IS_NO)


async def _wait_for_verdict(settings: ServerSettings, budget: BudgetKey, message_id: str) -> tuple[str, str] | None:
    until = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < until:
        story = await find_story(settings, budget)
        for told in story.history:
            if told.id == message_id:
                return told.verdict, told.detail
        await asyncio.sleep(0.2)
    return None


def _find_version(story: BudgetRecord) -> int:
    """Find the version that is meant: the current one, or, before there is one, that of the latest message."""
    return story.status.budget_version if story.status else story.history[-1].budget_version
