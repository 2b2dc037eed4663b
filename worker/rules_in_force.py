"""Puts the rules of ``RULES_DIR`` in force for all workers, by command or at the first start."""

import os
from dataclasses import dataclass
from typing import Final, NamedTuple

from handlers.rules import Rules
from outbox.database import Connection
from outbox.lost_jobs import LostJobs, find_lost_jobs
from outbox.rules import Application, RulesUnavailable, find_application, lock_rules, put_in_force, read_version
from outbox.server import read_rights
from worker.rules_files import read_rules
from worker.settings import ConfigurationError, RulesSettings, read_settings

FIRST_START: Final = "the first version: none was in force"


@dataclass(frozen=True, slots=True)
class RulesFolder:
    """What ``RULES_DIR`` holds."""

    rules: Rules | None
    """``None`` if it is not set or has problems."""
    problems: tuple[str, ...] = ()


class Applied(NamedTuple):
    """The version in force after an application."""

    application: Application
    is_new: bool
    """Whether it was put in force now; otherwise the same rules were in force already."""


def read_rules_folder() -> RulesFolder:
    """Read ``RULES_DIR``, which need not be set."""
    if not os.environ.get("RULES_DIR"):
        return RulesFolder(None)
    try:
        return RulesFolder(read_rules(read_settings(RulesSettings).rules_dir))
    except ConfigurationError as error:
        return RulesFolder(None, error.problems)


async def apply_rules(connection: Connection, rules: Rules, by: str, why: str) -> Applied:
    """Put rules in force for all workers, unless the same rules are in force already.

    Args:
        connection: a session on a database with our schema.
        rules: the rules.
        by: who applies them.
        why: the reason.

    Raises:
        ConfigurationError: the rules give a job to another project although Spectrum may hold a budget in it.
        DatabaseDown: Postgres does not answer, or a lane did not end its batch in time.
    """
    async with lock_rules(connection):
        return await _put_in_force(connection, rules, by, why)


async def apply_first_rules(connection: Connection, folder: RulesFolder, by: str) -> Applied:
    """Put the rules of the folder in force, unless a version is in force already.

    Args:
        connection: a session on a database with our schema.
        folder: the rules.
        by: who applies them.

    Raises:
        ConfigurationError: no version is in force, and the folder holds no rules that can be applied.
        DatabaseDown: Postgres does not answer.
    """
    if found := await find_application(connection):
        return Applied(found, is_new=False)
    async with lock_rules(connection):
        # Another worker may have been faster.
        return await settle_rules(connection, folder, by)


async def check_first_rules(connection: Connection, folder: RulesFolder) -> None:
    """Check what ``apply_first_rules`` needs, without writing anything.

    Raises:
        ConfigurationError: no version is in force, and the folder holds none or does not fit.
        DatabaseDown: Postgres does not answer.
    """
    if await find_application(connection) is None:
        await _check_jobs(connection, _get_rules(folder))
        if missing := (await read_rights(connection)).missing["rules"]:
            problem = (
                f"no version of the rules is in force, and this role may not apply RULES_DIR (it lacks {missing[0]}): "
                "run `budget-bridge rules apply` with a role to which `budget-bridge grants rules` was granted"
            )
            raise ConfigurationError((problem,))


async def settle_rules(connection: Connection, folder: RulesFolder, by: str) -> Applied:
    """Do what ``apply_first_rules`` does, within the caller's transaction."""
    if found := await find_application(connection):
        return Applied(found, is_new=False)
    return await _put_in_force(connection, _get_rules(folder), by, FIRST_START)


async def is_in_force(connection: Connection, rules: Rules) -> bool:
    """Return whether these rules are in force; their values count, because another version may store them otherwise."""
    application = await find_application(connection)
    return application is not None and await _is_same(connection, application, rules)


def _get_rules(folder: RulesFolder) -> Rules:
    if folder.rules is None:
        problem = "no version of the rules is in force: set RULES_DIR, or run `budget-bridge rules apply`"
        raise ConfigurationError(folder.problems or (problem,))
    return folder.rules


async def _check_jobs(connection: Connection, rules: Rules) -> None:
    if problems := describe_lost_jobs(await find_lost_jobs(connection, rules)):
        raise ConfigurationError(problems)


async def _put_in_force(connection: Connection, rules: Rules, by: str, why: str) -> Applied:
    current = await find_application(connection)
    if current and await _is_same(connection, current, rules):
        return Applied(current, is_new=False)
    await _check_jobs(connection, rules)
    return Applied(await put_in_force(connection, rules, by, why), is_new=True)


async def _is_same(connection: Connection, application: Application, rules: Rules) -> bool:
    try:
        return await read_version(connection, application.rules_id) == rules
    except RulesUnavailable:
        return False


def describe_lost_jobs(lost: LostJobs) -> tuple[str, ...]:
    """Describe the jobs that rules take away from budgets that Spectrum may hold there, and how many more there are."""
    described = tuple(
        f"jobs.csv: job {one.job_number} of company {one.company_code} is given to project "
        f"{'/'.join(map(str, one.taker))}, but Spectrum may hold budget {one.key} there; give the job back, or check "
        f"Spectrum and then use `budget-bridge reset {one.key}`"
        for one in lost.first
    )
    more = lost.total - len(described)
    return (*described, f"jobs.csv: … and {more} more budgets like these") if more else described
