"""``budget-bridge rules``: checks RULES_DIR, puts it in force, and prints what is in force."""

import asyncio
import json
import os
from typing import Annotated, Final, NamedTuple

import typer

from handlers.rules import Rules
from outbox.database import Connection
from outbox.invalid_budgets import check_invalid_budgets
from outbox.lost_jobs import find_lost_jobs
from outbox.rules import (
    NO_RULES,
    Application,
    RulesUnavailable,
    count_applications,
    find_application,
    list_applications,
    read_version,
)
from worker.commands.arguments import AsJson
from worker.commands.database import open_database
from worker.commands.problems import ANSWER_IS_NO, refuse, report_problems
from worker.console import Console
from worker.reports.rules_report import (
    RuleChange,
    compare_rules,
    list_rows,
    print_application,
    print_applications,
    print_changes,
    print_rows,
    write_application,
    write_changes,
    write_rows,
)
from worker.rules_files import read_rules_and_notes
from worker.rules_in_force import Applied, apply_rules, describe_lost_jobs
from worker.settings import ConfigurationError, RulesSettings, read_settings

_BUDGETS_SHOWN: Final = 20
_LONGEST_NAME: Final = 255
_LONGEST_REASON: Final = 1000

rules_app: Final = typer.Typer(
    no_args_is_help=True, help="Check, apply and compare rules: those in force and those in RULES_DIR."
)

By = Annotated[str, typer.Option(prompt="Who are you", help="Who applies them; it stays in the history.")]
Why = Annotated[str, typer.Option(prompt="Why", help="The reason; it stays in the history.")]


class PassingBudgets(NamedTuple):
    """The INVALID budgets that would pass by the rules in force."""

    invalid: int
    unreadable: int
    """How many of them cannot be checked because the bytes of their lock are pruned."""
    passing: int
    first: list[tuple[str, int]]
    """Key and version of the first that pass."""


@rules_app.command("check")
def check_rules() -> None:
    """Read RULES_DIR and print every problem; with DATABASE_URL, also check it against what was exported."""

    async def read_held() -> tuple[str, ...]:
        async with open_database() as connection:
            return describe_lost_jobs(await find_lost_jobs(connection, rules))

    with report_problems():
        rules = _read_folder()
        if "DATABASE_URL" in os.environ:
            if problems := asyncio.run(read_held()):
                raise ConfigurationError(problems)
            typer.echo(f"the rules are in order: {_count(rules)}; they fit what was exported")
        else:
            typer.echo(f"the rules are in order: {_count(rules)}")
            typer.echo("not checked against what was exported: DATABASE_URL is not set")


@rules_app.command("apply")
def apply(by: By, why: Why, *, as_json: AsJson = False) -> None:
    """Put RULES_DIR in force, at once for all workers; lists the INVALID budgets that would pass now.

    Refused if a job would go to another project while Spectrum may hold a budget under it.
    """

    async def do() -> tuple[Applied, PassingBudgets]:
        async with open_database() as connection:
            applied = await apply_rules(connection, rules, who, reason)
            return applied, await _find_passing(connection, rules)

    with report_problems():
        who, reason = _check_text("--by", by, _LONGEST_NAME), _check_text("--why", why, _LONGEST_REASON)
        rules = _read_folder()
        applied, passing = asyncio.run(do())
        if as_json:
            report = {**write_application(applied.application), "is_new": applied.is_new, **_write_passing(passing)}
            typer.echo(json.dumps(report, indent=2))
        else:
            _print_applied(applied, passing, rules, Console())


@rules_app.command("show")
def print_rules(
    version: Annotated[int | None, typer.Argument(help="Which version; without it, the one in force.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Print a version of the rules row by row, and who applied it. Exit code 1 if there is none."""

    async def read() -> tuple[Application, Rules, bool]:
        async with open_database() as connection:
            application, rules = await _read_applied(connection, version)
            current = await find_application(connection)
            return application, rules, current is not None and current.rules_id == application.rules_id

    with report_problems():
        application, rules, in_force = asyncio.run(read())
        if as_json:
            report = {**write_application(application), "in_force": in_force, "rows": write_rows(list_rows(rules))}
            typer.echo(json.dumps(report, indent=2))
        else:
            console = Console()
            print_application(application, in_force=in_force, console=console)
            print_rows(list_rows(rules), console)


@rules_app.command("history")
def print_history(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, latest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Print which version was put in force when, by whom and why, latest first; the first one is in force now."""

    async def read() -> tuple[list[Application], int]:
        async with open_database() as connection:
            return await list_applications(connection, limit), await count_applications(connection)

    with report_problems():
        applications, total = asyncio.run(read())
        if as_json:
            report = {"total": total, "applications": [write_application(one) for one in applications]}
            typer.echo(json.dumps(report, indent=2))
        else:
            print_applications(applications, total, Console())


@rules_app.command("diff")
def diff(*, as_json: AsJson = False) -> None:
    """Print row by row what applying RULES_DIR would change. Exit code 1 if anything would."""

    async def compare() -> tuple[Application, list[RuleChange]]:
        async with open_database() as connection:
            application, in_force = await _read_applied(connection, None)
            return application, compare_rules(in_force, rules)

    with report_problems():
        rules = _read_folder()
        application, changes = asyncio.run(compare())
        if as_json:
            report = {"in_force": write_application(application), "changes": write_changes(changes)}
            typer.echo(json.dumps(report, indent=2))
        elif changes:
            print_changes(changes, Console())
            typer.echo(f"{_number(len(changes), 'row')} of RULES_DIR differ from version {application}, in force")
        else:
            typer.echo(f"RULES_DIR is version {application}, in force")
        if changes:
            raise typer.Exit(ANSWER_IS_NO)


def _read_folder() -> Rules:
    """Read RULES_DIR; notes go to the error output, where they are in nobody's way."""
    rules, notes = read_rules_and_notes(read_settings(RulesSettings).rules_dir)
    for note in notes:
        Console(stderr=True).print_line(f"note: {note}")
    return rules


async def _read_applied(connection: Connection, version: int | None) -> tuple[Application, Rules]:
    """Read a version and its application; ends with exit code 1 where there is none."""
    application = await find_application(connection, version)
    rules = await read_version(connection, application.rules_id) if application else None
    if application is None or rules is None:
        if version is None:
            raise RulesUnavailable(NO_RULES)
        refuse(f"version {version} of the rules was never applied; see `budget-bridge rules history`")
    return application, rules


async def _find_passing(connection: Connection, rules: Rules) -> PassingBudgets:
    invalid = unreadable = passing = 0
    first: list[tuple[str, int]] = []
    async for budget in check_invalid_budgets(connection, rules):
        invalid += 1
        unreadable += budget.passes is None
        if budget.passes:
            passing += 1
            if len(first) < _BUDGETS_SHOWN:
                first.append((str(budget.key), budget.version))
    return PassingBudgets(invalid, unreadable, passing, first)


def _write_passing(found: PassingBudgets) -> dict[str, object]:
    return {
        "invalid_budgets": found.invalid,
        "invalid_budgets_not_checked": found.unreadable,
        "passing_now": found.passing,
        "first_passing": [{"budget": key, "version": version} for key, version in found.first],
    }


def _print_applied(applied: Applied, found: PassingBudgets, rules: Rules, console: Console) -> None:
    state = "is in force now" if applied.is_new else "was in force already; nothing was changed"
    console.print_line(f"version {applied.application} {state}: {_count(rules)}")
    if not found.invalid:
        console.print_line("no budget is INVALID")
        return
    pruned = f" ({found.unreadable} could not be checked: pruned)" if found.unreadable else ""
    console.print_line(f"{found.passing} of {_number(found.invalid, 'INVALID budget')} would pass now{pruned}")
    for key, version in found.first:
        console.print_line(f"  {key} version {version}")
    if found.passing > len(found.first):
        console.print_line(f"  and {found.passing - len(found.first)} more")
    if found.passing:
        console.print_line("each is checked again when the project side locks the same version again")


def _check_text(option: str, text: str, longest: int) -> str:
    text = text.strip()
    if not text or len(text) > longest or not text.isprintable():
        message = f"one line of 1 to {longest} characters is expected"
        raise typer.BadParameter(message, param_hint=option)
    return text


def _count(rules: Rules) -> str:
    approvers = sum(map(len, rules.approvers.values()))
    counts = ((len(rules.jobs), "job"), (len(rules.phases), "cost code"), (len(rules.cost_types), "cost type"))
    return ", ".join(_number(*count) for count in (*counts, (approvers, "approver")))


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
