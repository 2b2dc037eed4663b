"""``budget-bridge audit``: writes the audit trail of a budget or of a time, and verifies one that somebody has."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer
from typer.core import TyperGroup

from contracts.budget_key import BudgetKey
from contracts.fields import read_time
from outbox.migrate import open_checked_session
from outbox.trail import Between, Scope, open_trail
from worker.commands.arguments import read_key
from worker.commands.problems import ANSWER_IS_NO, refuse, report_problems
from worker.console import Console
from worker.settings import ConfigurationError, DatabaseSettings, read_settings
from worker.trail.chain import ChainWriter, read_lines
from worker.trail.export import make_lines
from worker.trail.keys import read_signer_folder
from worker.trail.output import write_trail
from worker.trail.verifying import Verification, verify_trail
from worker.version import read_version

_ONLY_HEAD_AND_END: Final = 2

Time = Annotated[str | None, typer.Option(metavar="TIME", help="RFC 3339 with offset, such as 2026-11-01T00:00:00Z.")]


class _ExportsUnlessNamed(TyperGroup):
    """``audit KEY`` and ``audit --since T`` mean ``audit export …``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["export", *args]
        return super().parse_args(ctx, args)


audit_app: Final = typer.Typer(
    cls=_ExportsUnlessNamed,
    no_args_is_help=True,
    help="Write who did what, when, by which key and rules, and what Spectrum got and answered; verify such a file.",
)


@audit_app.command("export")
def export(
    key: Annotated[
        str | None,
        typer.Argument(metavar="[COMPANY/PROJECT/BUDGET]", help="The budget, such as 4211/90071/55210."),
    ] = None,
    *,
    since: Time = None,
    until: Time = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the same as a page to print, too.")
    ] = None,
) -> None:
    """Write the audit trail of a budget, or of everything since a time, as JSON lines to the standard output.

    The digest of the last line goes to the error output: note it down. Exit code 1 if no message ever named the budget.
    """
    scope = _read_scope(key, since, until)
    with report_problems(), _open_page(html) as page:
        written = asyncio.run(_export(scope, sys.stdout.buffer, page))
        sys.stdout.buffer.flush()
        Console(stderr=True).print_line(f"{written.count} lines; the digest of the last one is {written.digest}")
        if isinstance(scope, BudgetKey) and written.count == _ONLY_HEAD_AND_END:
            refuse(f"no message ever named budget {scope}")


@audit_app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `audit` has written.")],
    *,
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="DIR", help="Your own copy of signers.jwks.json and signers.csv."),
    ] = None,
) -> None:
    """Verify an audit trail without database and Kafka: its lines, what their bytes say, and the signatures.

    Compare the digest that it prints with the one that was noted at the export. Exit code 1 if anything is wrong.
    """
    with report_problems():
        signers = read_signer_folder(rules) if rules else None
        try:
            with file.open("rb") as opened:
                found = verify_trail(read_lines(opened), signers)
        except OSError as error:
            raise ConfigurationError((f"{file} cannot be read: {error.strerror}",)) from None
    console = Console()
    for line in _describe(found, checked=signers is not None):
        console.print_line(line)
    if found.problems:
        raise typer.Exit(ANSWER_IS_NO)


def _read_scope(key: str | None, since: str | None, until: str | None) -> Scope:
    if (key is None) == (since is None) or (until and not since):
        raise typer.BadParameter("either a budget is expected, or --since, with or without --until")
    return read_key(key) if key else Between(_read_time(since or ""), _read_time(until) if until else None)


async def _export(scope: Scope, lines: BinaryIO, page: BinaryIO | None) -> ChainWriter:
    url = read_settings(DatabaseSettings).database_url.get_secret_value()
    async with open_checked_session(url):
        pass
    async with open_trail(url) as trail:
        made = make_lines(trail, scope, read_version())
        return await write_trail(made, lines.write, page.write if page else None)


@contextmanager
def _open_page(path: Path | None) -> Iterator[BinaryIO | None]:
    try:
        opened = path.open("wb") if path else nullcontext()
    except OSError as error:
        raise ConfigurationError((f"--html: {path} cannot be written: {error.strerror}",)) from None
    with opened as page:
        yield page


def _describe(found: Verification, *, checked: bool) -> Iterator[str]:
    yield from found.problems
    if more := found.problem_count - len(found.problems):
        yield f"and {more} more"
    state = (
        f"problems: {found.problem_count}" if found.problems else "complete, and each line says what its record says"
    )
    yield f"{found.lines} lines: {state}"
    yield f"digest of the last line: {found.digest}"
    if found.pruned:
        yield f"messages of which only the line is left, since they were pruned: {found.pruned}"
    if not checked:
        yield "signatures were not checked: give your own copy of the signers' files with --rules"
        return
    for kid, count in sorted(found.proven.items()):
        yield f"proven by key {kid}: {count} messages and decisions in exports"
    for (kind, rules_id), count in sorted(found.unproven.items()):
        yield f"proven by no signature, which version {rules_id} of the rules is said not to ask for: {count} {kind}"
    if found.unapproved:
        yield f"exports that lack a signed acceptance, or a signed decision to restate: {found.unapproved}"


def _read_time(text: str) -> datetime:
    try:
        return read_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
