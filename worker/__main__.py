"""The command line, ``budget-bridge COMMAND``: every command is registered here, but ``desk``, in ``desk.__main__``.

Exit codes: 0 done; 1 the answer is no, such as an unknown budget; 2 the environment, the rules or a server is broken.
"""

from typing import Annotated, Final

import typer

from worker.commands.acknowledge import acknowledge
from worker.commands.acls import print_acls
from worker.commands.audit import audit_app
from worker.commands.dead_letters import dead_letters_app
from worker.commands.doctor import doctor
from worker.commands.drift import print_drift
from worker.commands.grants import print_grants
from worker.commands.import_budget import import_budget
from worker.commands.migrate import migrate_database
from worker.commands.prune import prune
from worker.commands.reconcile import reconcile_everything
from worker.commands.recover import recover_deployment
from worker.commands.release import release
from worker.commands.reset import reset
from worker.commands.retry import retry
from worker.commands.rules import rules_app
from worker.commands.run import run
from worker.commands.signers import signers_app
from worker.commands.snapshot import request_snapshot
from worker.commands.status import print_status
from worker.commands.topics import create_missing_topics
from worker.commands.version import print_version
from worker.console import never_fail_to_encode, open_closed_streams
from worker.watch.command import watch

app: Final = typer.Typer(
    name="budget-bridge",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Carries approved construction budgets from the project system into Spectrum, each exactly once.",
    epilog="Configured by environment variables; the README lists them.",
)


@app.callback()
def _take_options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


app.command("migrate")(migrate_database)
app.command("grants")(print_grants)
app.command("acls")(print_acls)
app.command("topics")(create_missing_topics)
app.command("run")(run)
app.command("status")(print_status)
app.command("retry")(retry)
app.command("drift")(print_drift)
app.command("snapshot")(request_snapshot)
app.command("import")(import_budget)
app.command("release")(release)
app.command("reset")(reset)
app.command("acknowledge")(acknowledge)
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(rules_app, name="rules")
app.add_typer(audit_app, name="audit")
app.add_typer(signers_app, name="signers")
app.command("doctor")(doctor)
app.command("reconcile")(reconcile_everything)
app.command("recover")(recover_deployment)
app.command("prune")(prune)
app.command("watch")(watch)


def main() -> None:
    """Run the command named by the arguments."""
    open_closed_streams()
    never_fail_to_encode()
    app()


if __name__ == "__main__":
    main()
