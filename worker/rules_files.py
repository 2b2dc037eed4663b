"""Reads the files of ``RULES_DIR``: policies, jobs, phases, cost types, approvers and signers.

Every problem is reported at once, with its file and row. The limits of Spectrum's keys are checked here, where somebody
can still correct them: Spectrum cuts a key that is too long without an error.
"""

import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, cast, get_args, get_type_hints

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from contracts.fields import PriceMethod
from handlers.references import MAX_REFERENCE
from handlers.rules import DEFAULT_PRICE_METHOD, SECTION, CostType, Job, Phase, Rules, fold_user, name_policy
from handlers.signers import Word
from handlers.validation.limits import FORBIDDEN_IN_KEYS, MAX_COMPANY, MAX_COST_TYPE, MAX_JOB, MAX_PHASE
from worker.durations import parse_duration
from worker.rules_tables import RulesReading, describe_error, read_id, read_rows, read_text
from worker.settings import ConfigurationError
from worker.signer_files import check_signatures, read_signers, read_signing_keys


def _read_duration(value: object) -> object:
    with suppress(ValueError):
        if isinstance(value, str) and timedelta(0) < (length := parse_duration(value)) <= timedelta(days=3650):
            return length
    message = 'a time such as "30m", "4h" or "7d" is expected, above nothing and up to ten years'
    raise ValueError(message)


Duration = Annotated[timedelta, BeforeValidator(_read_duration)]
People = Mapping[tuple[int, int | None], frozenset[str]]
"""Folded users by company and project; no project means the whole company."""


def _read_duration_or_off(value: object) -> object:
    return None if value == "off" else _read_duration(value)


def _read_words(value: object) -> object:
    if not isinstance(value, list) or not set(value) <= set(get_args(Word)):
        message = f"a list is expected, of any of {', '.join(get_args(Word))}"
        raise ValueError(message)
    return frozenset(value)


_LIMITED: Final[Mapping[str, Any]] = {
    # Every parked request is in the budget's state, which is read and written with each of its messages.
    "parked_limit": Annotated[int, Field(ge=1, le=1000)],
    "every": Annotated[timedelta | None, BeforeValidator(_read_duration_or_off)],
    "signatures_required": Annotated[frozenset[Word], BeforeValidator(_read_words)],
}


def _make_policy_readers() -> Mapping[str, Mapping[str, tuple[str, TypeAdapter[object]]]]:
    """Make the reader of each policy, with the field that it is, by section and key of ``rules.toml``."""
    types = get_type_hints(Rules)
    sections: dict[str, dict[str, tuple[str, TypeAdapter[object]]]] = {}
    for policy in fields(Rules):
        if SECTION in policy.metadata:
            of = _LIMITED.get(policy.name, Duration if types[policy.name] is timedelta else types[policy.name])
            section, key = name_policy(policy)
            sections.setdefault(section, {})[key] = policy.name, TypeAdapter(of)
    return sections


_POLICIES: Final = _make_policy_readers()


def read_rules(folder: Path) -> Rules:
    """Read the rules; raises as ``read_rules_and_notes``."""
    rules, _ = read_rules_and_notes(folder)
    return rules


def read_rules_and_notes(folder: Path) -> tuple[Rules, tuple[str, ...]]:
    """Read the rules.

    Returns:
        The rules, and notes on what may not be what was meant.

    Raises:
        ConfigurationError: at least one file is missing or has an error; it lists every problem.
    """
    reading = RulesReading(folder)
    policies = _read_policies(reading)
    keys = read_signing_keys(reading)
    rules = Rules(
        jobs=_read_jobs(reading),
        phases=_read_phases(reading),
        cost_types=_read_cost_types(reading),
        approvers=_read_people(reading, "approvers.csv"),
        signing_keys=keys,
        signers=read_signers(reading, keys),
        **policies,
    )
    check_signatures(reading, rules)
    if reading.problems:
        raise ConfigurationError(tuple(reading.problems))
    return rules, tuple(reading.notes)


def _read_policies(reading: RulesReading) -> dict[str, Any]:
    file = "rules.toml"
    try:
        sections = tomllib.loads(read_text(reading.folder / file))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reading.complain(file, None, describe_error(error))
        return {}
    policies: dict[str, Any] = {}
    for section, values in sections.items():
        if section not in _POLICIES:
            reading.complain(file, None, f"{section}: no such section; there are {', '.join(_POLICIES)}")
        elif not isinstance(values, dict):
            reading.complain(file, None, f"{section}: a section is expected: write it as [{section}]")
        else:
            for key, value in values.items():
                _read_policy(reading, policies, section, key, value)
    return policies


def _read_policy(reading: RulesReading, policies: dict[str, Any], section: str, key: str, value: object) -> None:
    if key not in _POLICIES[section]:
        reading.complain("rules.toml", None, f"{section}.{key}: no such key")
        return
    name, reader = _POLICIES[section][key]
    try:
        policies[name] = reader.validate_python(value, strict=True)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            reading.complain("rules.toml", None, f"{section}.{key}: {problem['msg'].removeprefix('Value error, ')}")


def _read_jobs(reading: RulesReading) -> Mapping[tuple[int, int], Job]:
    file = "jobs.csv"
    jobs: dict[tuple[int, int], Job] = {}
    rows: dict[tuple[str, str], int] = {}
    for row, (company, project, code, number, reference) in read_rows(
        reading, file, ("company_id", "project_id", "company_code", "job_number", "first_reference"), optional=1
    ):
        key = (read_id(reading, file, row, "company_id", company), read_id(reading, file, row, "project_id", project))
        _check_key(reading, file, row, "company_code", code, MAX_COMPANY)
        _check_key(reading, file, row, "job_number", number, MAX_JOB)
        first = _read_reference(reading, file, row, reference) if reference else 1
        if key in jobs:
            reading.complain(file, row, f"project {company}/{project} has a job already")
        if (code, number) in rows:
            reading.complain(file, row, f"job {number} of company {code} is in row {rows[code, number]} already")
        jobs[key] = Job(code, number, first)
        rows.setdefault((code, number), row)
    return jobs


def _read_phases(reading: RulesReading) -> Mapping[str, Phase]:
    file = "phases.csv"
    phases: dict[str, Phase] = {}
    for row, (cost_code, phase_code, description, cell) in read_rows(
        reading, file, ("cost_code", "phase_code", "description", "preferred"), optional=1
    ):
        _check_present(reading, file, row, "cost_code", cost_code, phases)
        _check_key(reading, file, row, "phase_code", phase_code, MAX_PHASE)
        if "-" in phase_code:
            reading.complain(file, row, f"phase_code: {phase_code!r} has a dash; Spectrum takes phases without")
        phases[cost_code] = Phase(
            phase_code, description or None, _read_preferred(reading, file, row, cell, phase_code)
        )
    return phases


def _read_cost_types(reading: RulesReading) -> Mapping[str, CostType]:
    file = "cost_types.csv"
    kinds: dict[str, CostType] = {}
    methods: dict[str, tuple[str, int]] = {}
    for row, (kind, spectrum, method, cell) in read_rows(
        reading, file, ("cost_type", "spectrum_cost_type", "price_method_code", "preferred"), optional=1
    ):
        _check_present(reading, file, row, "cost_type", kind, kinds)
        _check_key(reading, file, row, "spectrum_cost_type", spectrum, MAX_COST_TYPE)
        method = method or DEFAULT_PRICE_METHOD  # noqa: PLW2901 - an empty cell is the job's own
        if method not in {"F", "T", "C", "U", "J"}:
            reading.complain(file, row, f"price_method_code: one of F, T, C, U, J is expected, not {method!r}")
        first, its_row = methods.setdefault(spectrum, (method, row))
        if method != first:
            what = f"price_method_code: cost type {spectrum} has {first} in row {its_row}, and can have only one"
            reading.complain(file, row, what)
        is_preferred = _read_preferred(reading, file, row, cell, spectrum)
        kinds[kind] = CostType(spectrum, cast("PriceMethod", method), is_preferred)
    return kinds


def read_people(file: Path) -> People:
    """Read a table of people and their projects, with the columns of ``approvers.csv``.

    Raises:
        ConfigurationError: the file is missing or has an error; it lists every problem.
    """
    reading = RulesReading(file.parent)
    people = _read_people(reading, file.name)
    if reading.problems:
        raise ConfigurationError(tuple(reading.problems))
    return people


def _read_people(reading: RulesReading, file: str) -> People:
    people: dict[tuple[int, int | None], frozenset[str]] = {}
    rows: dict[tuple[tuple[int, int | None], str], int] = {}
    for row, (company, project, user) in read_rows(reading, file, ("company_id", "project_id", "user")):
        company_id = read_id(reading, file, row, "company_id", company)
        project_id = read_id(reading, file, row, "project_id", project) if project else None
        folded = fold_user(user)
        if not folded:
            reading.complain(file, row, "user: it is empty")
        key = (company_id, project_id)
        if (first := rows.setdefault((key, folded), row)) != row:
            reading.notes.append(f"{file}, row {row}: {user} is the same person as in row {first}, and one approver")
        people[key] = people.get(key, frozenset()) | {folded}
    return people


def _read_reference(reading: RulesReading, file: str, row: int, cell: str) -> int:
    if re.fullmatch(r"[0-9]{1,7}", cell, re.ASCII) and int(cell):
        return int(cell)
    reading.complain(file, row, f"first_reference: a whole number from 1 to {MAX_REFERENCE} is expected, not {cell!r}")
    return 1


def _read_preferred(reading: RulesReading, file: str, row: int, cell: str, target: str) -> bool:
    if cell not in {"", "yes"}:
        reading.complain(file, row, f"preferred: yes or nothing is expected, not {cell!r}")
    if cell == "yes" and (first := reading.preferred.setdefault((file, target), row)) != row:
        reading.complain(file, row, f"preferred: row {first} is preferred for {target} already")
    return cell == "yes"


def _check_present(
    reading: RulesReading, file: str, row: int, column: str, cell: str, seen: Mapping[str, object]
) -> None:
    if not cell:
        reading.complain(file, row, f"{column}: it is empty")
    if cell in seen:
        reading.complain(file, row, f"{column}: {cell!r} is in the table already")


def _check_key(reading: RulesReading, file: str, row: int, column: str, cell: str, limit: int) -> None:
    if not cell:
        reading.complain(file, row, f"{column}: it is empty")
    if len(cell) > limit:
        reading.complain(file, row, f"{column}: {cell!r} is longer than the {limit} characters that Spectrum takes")
    if found := FORBIDDEN_IN_KEYS.search(cell):
        reading.complain(file, row, f"{column}: {cell!r} has {found[0]!r}, which Spectrum does not take in a key")
