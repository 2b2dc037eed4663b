"""The command line: ``budget-bridge COMMAND``.

Exit codes: 0 done; 1 the question has the answer no (an unknown budget); 2 the environment or the rules are broken.
"""

import asyncio
import json
import os
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.console import Console

from budget_bridge.contracts.topics import list_topics
from budget_bridge.handlers.rules import Rules
from budget_bridge.outbox.database import close, connect
from budget_bridge.outbox.deployment import find_held_jobs
from budget_bridge.outbox.migrate import check_schema, migrate
from budget_bridge.worker.asking import ANSWER_IS_NO, find_story, make_console, read_key, set_scene, tell_problems
from budget_bridge.worker.dead_letter_commands import dead_letters_app
from budget_bridge.worker.doctor_command import doctor
from budget_bridge.worker.findings import Findings, show_findings, write_findings
from budget_bridge.worker.kafka import KafkaDown, NewTopicSpec, create_topics
from budget_bridge.worker.log import configure_log
from budget_bridge.worker.operator_commands import acknowledge, release, reset, retry
from budget_bridge.worker.overview import look_over, show_overview, write_overview
from budget_bridge.worker.places import Whereabouts, find_places
from budget_bridge.worker.prune_command import prune
from budget_bridge.worker.reconcile import reconcile
from budget_bridge.worker.recover import Choices, Step, TreatAs, open_recoverer
from budget_bridge.worker.rules_files import check_held_jobs, read_rules
from budget_bridge.worker.run import connect_kafka, run_worker
from budget_bridge.worker.scene import Scene
from budget_bridge.worker.settings import (
    ConfigurationBroken,
    DatabaseSettings,
    HttpSettings,
    KafkaSettings,
    RulesSettings,
    ServerSettings,
    WorkerSettings,
    read_settings,
)
from budget_bridge.worker.story import show_story, write_story
from budget_bridge.worker.watch_command import watch

app: Final = typer.Typer(
    name="budget-bridge",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Carries approved construction budgets from the project system into Spectrum, each exactly once.",
    epilog="Configured by environment variables; the README lists them.",
)
rules_app: Final = typer.Typer(no_args_is_help=True, help="What accounting keeps in RULES_DIR.")
app.add_typer(rules_app, name="rules")
app.add_typer(dead_letters_app, name="dead-letters")
for _command in (retry, release, reset, acknowledge, doctor, prune, watch):
    app.command()(_command)


@app.command("migrate")
def migrate_database() -> None:
    """Bring the database schema up to date. Safe to run twice, and by many at once."""

    async def work(settings: DatabaseSettings) -> list[str]:
        connection = await connect(settings.database_url.get_secret_value())
        try:
            return await migrate(connection)
        finally:
            await close(connection, 1.0)

    with tell_problems():
        applied = asyncio.run(work(read_settings(DatabaseSettings)))
        typer.echo("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")


@app.command("topics")
def make_topics(
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each topic that is made.")] = 6,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="Copies of each.", show_default="3, or as many as there are brokers")
    ] = None,
) -> None:
    """Create the topics that are missing; existing ones stay as they are."""
    with tell_problems():
        settings = read_settings(KafkaSettings)
        specs = [
            NewTopicSpec(settings.topic_prefix + topic.name, partitions, topic.settings) for topic in list_topics()
        ]
        created = asyncio.run(create_topics(connect_kafka(settings), specs, replication_factor))
        typer.echo("\n".join(f"created {name}" for name in created) or "all topics are there")


@app.command("run")
def run() -> None:
    """Run the worker until SIGTERM or SIGINT."""
    with tell_problems():
        settings, rules = _read_worker_settings()
        asyncio.run(run_worker(settings, rules, configure_log(settings.log_format)))


def _read_worker_settings() -> tuple[WorkerSettings, Rules]:
    """Read environment and rules; raises ``ConfigurationBroken`` with the problems of both."""
    problems: list[str] = []
    try:
        settings = read_settings(WorkerSettings)
    except ConfigurationBroken as broken:
        problems.extend(broken.problems)
    try:
        rules = read_rules(read_settings(RulesSettings).rules_dir)
    except ConfigurationBroken as broken:
        # A folder that is missing was told with the other settings.
        problems.extend(problem for problem in broken.problems if problem not in problems)
    if problems:
        raise ConfigurationBroken(tuple(problems))
    return settings, rules


@app.command("status")
def show_status(
    key: Annotated[
        str | None,
        typer.Argument(metavar="COMPANY/PROJECT/BUDGET", help="Which budget, e.g. 4211/90071/55210; without it, all."),
    ] = None,
    *,
    worker: Annotated[
        list[str] | None,
        typer.Option(help="The HTTP address of a worker to ask how it is; repeatable.", show_default="HTTP_PORT here"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Where is this budget, since when, and why; its history. Exit code 1 if nothing is known of it.

    Without a budget: how many stand where, which wait longest for a person, and how far the lanes are behind.
    """
    console = make_console()
    with tell_problems():
        if key is None:
            port = read_settings(HttpSettings).http_port
            workers = worker or ([f"http://127.0.0.1:{port}"] if port else [])
            overview = asyncio.run(look_over(set_scene(read_settings(ServerSettings)), workers))
            if as_json:
                typer.echo(json.dumps(write_overview(overview), indent=2))
            else:
                show_overview(overview, console)
            return
        budget = read_key(key)
        story = asyncio.run(find_story(read_settings(DatabaseSettings), budget))
        places: dict[UUID, Whereabouts] = {}
        try:
            places = asyncio.run(find_places(set_scene(read_settings(ServerSettings)), story.sent))
        except (ConfigurationBroken, KafkaDown) as why:
            # The database has the story; Kafka only knows where things stand.
            typer.echo(f"where in Kafka things stand is not known: {why}", err=True)
        if as_json:
            typer.echo(json.dumps(write_story(story, places), indent=2))
        else:
            show_story(story, places, console)


@app.command("reconcile")
def reconcile_everything(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Prove that every message was carried exactly once: logs, database and rules side by side.

    Only reads, and the worker may run meanwhile. Exit code 1 when anything differs.
    """
    with tell_problems():
        findings = asyncio.run(_look(set_scene(read_settings(ServerSettings))))
        if as_json:
            typer.echo(json.dumps(write_findings(findings), indent=2))
        else:
            show_findings(findings, Console(highlight=False, soft_wrap=True))
        if not findings.are_clean:
            raise typer.Exit(ANSWER_IS_NO)


@app.command("recover")
def recover_deployment(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong and what can be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do every step without asking.")] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="This database takes the place of the one that carried the group before.")
    ] = False,
    publish_again: Annotated[
        bool, typer.Option("--publish-again", help="Publish once more what an output topic has lost.")
    ] = False,
    treat_as: Annotated[
        TreatAs | None,
        typer.Option(help="What stored messages are, where Kafka holds none of them and the group has no offset."),
    ] = None,
) -> None:
    """Find the way out when a lane refuses to publish: after a restore, a lost offset, a topic made anew.

    Says what it found and what it would do, then asks before each step. Exit code 1 while anything is left to do.
    """
    with tell_problems():
        settings, rules = _read_worker_settings()
        scene = set_scene(settings)

        async def plan() -> list[Step]:
            recoverer = await open_recoverer(scene, rules, Choices(adopt, treat_as, publish_again))
            return await recoverer.plan()

        console = Console(highlight=False, soft_wrap=True)
        refused: set[str] = set()
        while steps := [step for step in asyncio.run(plan()) if step.found not in refused]:
            for number, step in enumerate(steps, 1):
                console.print(f"{number}. {step.found}", markup=False)
                console.print(f"   Way out: {step.way_out}.", markup=False)
            if dry_run:
                raise typer.Exit(ANSWER_IS_NO)
            for number, step in enumerate(steps, 1):
                if step.act and (yes or typer.confirm(f"Do step {number}?")):
                    asyncio.run(_act(step))
                    console.print(f"   step {number} is done")
                else:
                    refused.add(step.found)
        if refused:
            raise typer.Exit(ANSWER_IS_NO)
        console.print("nothing is out of place; `budget-bridge reconcile` proves it")


async def _act(step: Step) -> None:
    if step.act:
        await step.act()


async def _look(scene: Scene) -> Findings:
    connection = await connect(scene.database_url)
    try:
        await check_schema(connection)
    finally:
        await close(connection, 1.0)
    return await reconcile(scene)


@rules_app.command("check")
def check_rules() -> None:
    """Read RULES_DIR and print every problem at once; with DATABASE_URL also against what is exported."""

    async def read_held(settings: DatabaseSettings) -> tuple[str, ...]:
        connection = await connect(settings.database_url.get_secret_value())
        try:
            await check_schema(connection)
            return check_held_jobs(rules, await find_held_jobs(connection))
        finally:
            await close(connection, 1.0)

    with tell_problems():
        rules = read_rules(read_settings(RulesSettings).rules_dir)
        counts = (
            f"{len(rules.jobs)} jobs, {len(rules.phases)} cost codes, {len(rules.cost_types)} cost types, "
            f"{sum(map(len, rules.approvers.values()))} approvers"
        )
        if "DATABASE_URL" in os.environ:
            if problems := asyncio.run(read_held(read_settings(DatabaseSettings))):
                raise ConfigurationBroken(problems)
            typer.echo(f"the rules are in order: {counts}; they fit what is exported")
        else:
            typer.echo(f"the rules are in order: {counts}")
            typer.echo("not checked against what is exported: DATABASE_URL is not set")
