"""Checks of the environment and of the rules files."""

import os
from contextlib import suppress
from ipaddress import ip_address

from handlers.rules import Rules
from outbox.database import Connection
from outbox.database_url import ANY_SERVER, DatabaseUrl, parse_database_url
from outbox.lost_jobs import find_lost_jobs
from outbox.rules import find_application
from worker.doctor.check import Check, Checks
from worker.rules_files import read_rules
from worker.rules_in_force import describe_lost_jobs, is_in_force
from worker.settings import (
    ConfigurationError,
    DatabaseSettings,
    KafkaSettings,
    RulesSettings,
    WorkerSettings,
    read_settings,
)


def check_settings() -> list[Check]:
    """Check the environment of a worker: every problem at once."""
    try:
        read_settings(WorkerSettings)
    except ConfigurationError as broken:
        to_do = "fix it in the environment; the README lists the variables"
        return [Check("configuration", "error", problem, to_do) for problem in broken.problems]
    return [Check("configuration", "ok", "every setting that the worker needs is valid")]


def check_encryption() -> list[Check]:
    """Warn of servers on other machines that are reached without TLS, or without checking who they are.

    Settings that cannot be read are reported by ``check_settings``.
    """
    found: list[list[Check]] = []
    with suppress(ConfigurationError):
        found.append(_check_kafka_encryption(read_settings(KafkaSettings)))
    with suppress(ConfigurationError):
        url = read_settings(DatabaseSettings).database_url.get_secret_value()
        found.append(_check_database_encryption(parse_database_url(url)))
    if found == [[], []]:
        return [Check("encryption", "ok", "every server is local, or is reached by TLS that checks it")]
    return [check for checks in found for check in checks]


def _check_kafka_encryption(kafka: KafkaSettings) -> list[Check]:
    remote = [server for server in kafka.kafka_bootstrap.split(",") if not _is_local(server)]
    if not remote or kafka.kafka_security_protocol.endswith("SSL"):
        return []
    found = f"Kafka at {', '.join(remote)} is reached without TLS"
    return [Check("encryption", "warning", found, "set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL")]


def _check_database_encryption(address: DatabaseUrl) -> list[Check]:
    remote = [server for server in address.servers if server != ANY_SERVER and not _is_local(server)]
    mode = address.options.get("sslmode") or os.environ.get("PGSSLMODE") or "prefer"
    if not remote or mode == "verify-full":
        return []
    found = f"the database at {', '.join(remote)} is reached with sslmode {mode}, which does not check the server"
    return [Check("encryption", "warning", found, "add sslmode=verify-full and sslrootcert to DATABASE_URL")]


def _is_local(server: str) -> bool:
    host = server.rpartition(":")[0].strip("[]")
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_rules_files() -> tuple[list[Check], Rules | None]:
    """Check the files of RULES_DIR.

    Returns:
        The results, and the rules where they can be read.
    """
    try:
        rules = read_rules(read_settings(RulesSettings).rules_dir)
    except ConfigurationError as broken:
        if not os.environ.get("RULES_DIR"):
            # It is needed only while no rules are in force, which is checked in the database.
            return [], None
        to_do = "fix it; `budget-bridge rules check` reads the files again"
        return [Check("rules", "error", problem, to_do) for problem in broken.problems], None
    counts = f"{len(rules.jobs)} jobs, {len(rules.phases)} cost codes, {len(rules.cost_types)} cost types"
    checks = [Check("rules", "ok", f"RULES_DIR is valid: {counts}")]
    lacking = [job for job in rules.jobs if not {job, (job[0], None)} & rules.approvers.keys()]
    if lacking:
        company, project = lacking[0]
        found = f"{len(lacking)} projects with a job have no approver, such as {company}/{project}"
        checks.append(Check("rules", "warning", found, "add approvers to approvers.csv; until then nobody can accept"))
    return checks, rules


async def check_rules_in_force(connection: Connection, rules: Rules | None) -> Checks:
    """Check that a version of the rules is in force, and that RULES_DIR holds the same rules.

    Args:
        connection: a session on a database with our schema.
        rules: what RULES_DIR holds; ``None`` if it is not set or cannot be read.
    """
    application = await find_application(connection)
    if application is None and rules is None:
        yield Check("rules", "error", "no version is in force", "run `budget-bridge rules apply`, or set RULES_DIR")
    elif application is None:
        yield Check("rules", "ok", "no version is in force yet: the first worker that starts applies RULES_DIR")
    elif rules and not await is_in_force(connection, rules):
        found = f"version {application} is in force, and RULES_DIR differs from it"
        yield Check("rules", "warning", found, "see `budget-bridge rules diff`; `budget-bridge rules apply` applies it")
    else:
        yield Check("rules", "ok", f"version {application} is in force")


async def check_jobs_in_use(connection: Connection, rules: Rules) -> Checks:
    """Check that the rules keep every job in which Spectrum may hold something."""
    problems = describe_lost_jobs(await find_lost_jobs(connection, rules))
    for problem in problems:
        yield Check("rules", "error", problem, "restore the job of the project in jobs.csv")
    if not problems:
        yield Check("rules", "ok", "they keep every job in which Spectrum may hold something")
