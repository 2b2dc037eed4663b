"""``budget-bridge grants``: prints the SQL that gives a role the rights that it needs, and no others."""

from typing import Annotated

import typer

from outbox.rights import Part, write_grants
from worker.console import Console


def print_grants(
    part: Annotated[Part, typer.Argument(metavar="PART", help="What the role is for.")],
    role: Annotated[str, typer.Argument(metavar="ROLE", help="The name of the role in Postgres.")],
) -> None:
    """Print the SQL that grants a role what it needs; asks no server.

    run: a worker. read: every command that changes nothing in the database. prune, rules: these commands.
    accept: `reconcile --accept`. Whoever owns the schema runs `migrate` and `recover`.
    """
    for line in write_grants(part, role):
        Console().print_line(line)
