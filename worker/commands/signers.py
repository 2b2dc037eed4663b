"""``budget-bridge signers``: makes keys for those who sign."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Annotated, Final

import typer

from contracts.signature.keys import Algorithm, KeySetError, write_public_jwk
from contracts.signature.signing import generate_key
from worker.commands.arguments import AsJson
from worker.commands.problems import report_problems
from worker.console import Console
from worker.key_files import write_key_file
from worker.settings import ConfigurationError

_COLUMNS: Final = ("kid", "user", "company_id", "project_id", "may", "valid_from", "valid_until")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)

signers_app: Final = typer.Typer(no_args_is_help=True, help="Make keys for those who sign.")


@signers_app.callback()
def _have_commands() -> None:
    """Let the only command keep its name."""


@signers_app.command("new")
def make_key(
    kid: Annotated[str, typer.Argument(metavar="KID", help="What the key is called, such as anna-2026.")],
    user: Annotated[str, typer.Option(help="Whose it is, as approvers are named; * for a UI that vouches for others.")],
    *,
    algorithm: Annotated[Algorithm, typer.Option(help="EdDSA is Ed25519; ES256 where there is only P-256.")] = "EdDSA",
    as_json: AsJson = False,
) -> None:
    """Make a key: the private one goes into KID.jwk.json, what accounting lists is printed."""
    with report_problems():
        if not _FILE_NAME.fullmatch(kid):
            raise ConfigurationError(
                (f"{kid!r} is no name for a file: letters, digits, '.', '_' and '-' are expected",)
            )
        try:
            key = generate_key(kid, user, algorithm)
        except KeySetError as error:
            raise ConfigurationError(error.problems) from None
        file = Path(f"{kid}.jwk.json")
        write_key_file(file, key)
    jwk = write_public_jwk(key.public)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "public_jwk": jwk, "signer": {"kid": kid, "user": user}}, indent=2))
        return
    console = Console()
    console.print_line(f"the private key is in {file} (mode 600): it is its owner's alone, and there is no copy of it")
    console.print_line("add this to the keys of signers.jwks.json:")
    console.print_line(f"  {json.dumps(jwk, separators=(',', ':'))}")
    console.print_line("add a row to signers.csv, with the company and what the key may sign:")
    for row in (_COLUMNS, (kid, user, "COMPANY", "", "MAY", "", "")):
        console.print_line(f"  {_write_row(row)}")
    console.print_line("then: budget-bridge rules check, and rules apply")


def _write_row(row: tuple[str, ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()
