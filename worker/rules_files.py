"""Reads what accounting keeps in ``RULES_DIR``: policies, maps and approvers.

Everything wrong is told at once, with its file and row. Spectrum's keys are checked here, where somebody can
still mend them: Spectrum itself cuts what is too long without a word.
"""

import csv
import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from contracts.fields import MAX_INT64, PriceMethod
from handlers.rules import CostType, Job, Phase, Rules, fold_user
from outbox.deployment import HeldJob
from worker.durations import parse_duration
from worker.settings import ConfigurationError

MAX_COMPANY: Final = 3
MAX_JOB: Final = 10
MAX_PHASE: Final = 20
MAX_COST_TYPE: Final = 3

_FORBIDDEN: Final = re.compile(r"""[/*?"'><#,&~\x00-\x1f\x7f-\x9f]""")


def _read_duration(value: object) -> object:
    with suppress(ValueError):
        if isinstance(value, str) and timedelta(0) < (length := parse_duration(value)) <= timedelta(days=3650):
            return length
    message = 'a time such as "30m", "4h" or "7d" is expected, above nothing and up to ten years'
    raise ValueError(message)


Duration = Annotated[timedelta, BeforeValidator(_read_duration)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Approval(_Section):
    four_eyes: bool = True
    require_content_hash: bool = False


class _Export(_Section):
    removed_lines: Literal["zero", "block"] = "zero"
    long_descriptions: Literal["reject", "shorten"] = "reject"
    quantities: bool = False
    acknowledgement_deadline: Duration = timedelta(hours=4)


class _Waiting(_Section):
    parked_expiry: Duration = timedelta(days=7)
    parked_limit: Annotated[int, Field(ge=1, le=1000)] = 20


class _Policies(_Section):
    approval: _Approval = _Approval()
    export: _Export = _Export()
    waiting: _Waiting = _Waiting()


@dataclass(slots=True)
class _Reading:
    """The rules as far as they could be read, and what was wrong with the rest."""

    folder: Path
    problems: list[str] = field(default_factory=list)

    def complain(self, file: str, row: int | None, what: str) -> None:
        self.problems.append(f"{file}, row {row}: {what}" if row else f"{file}: {what}")


def read_rules(folder: Path) -> Rules:
    """Read the rules; raises ``ConfigurationBroken`` with every problem."""
    reading = _Reading(folder)
    policies = _read_policies(reading)
    rules = Rules(
        jobs=_read_jobs(reading),
        phases=_read_phases(reading),
        cost_types=_read_cost_types(reading),
        approvers=_read_approvers(reading),
        **dict(policies.approval),
        **dict(policies.export),
        **dict(policies.waiting),
    )
    if reading.problems:
        raise ConfigurationError(tuple(reading.problems))
    return rules


def check_held_jobs(rules: Rules, held: Iterable[HeldJob]) -> tuple[str, ...]:
    """Find the rules that give a job to another project than the one whose budget Spectrum may hold there."""
    projects = {job: project for project, job in rules.jobs.items()}
    return tuple(
        f"jobs.csv: job {found.job_number} of company {found.company_code} is given to project "
        f"{'/'.join(map(str, taker))}, but Spectrum may hold budget {found.key} there; give the job back, or look in "
        f"Spectrum and use `budget-bridge reset {found.key}`"
        for found in held
        if (taker := projects.get(Job(found.company_code, found.job_number), found.key[:2])) != found.key[:2]
    )


def write_rules(rules: Rules) -> tuple[str, str]:
    """Write rules as JSON for keeping, with the digest by which the same rules are known again."""
    content = {
        "jobs": sorted([*project, *job] for project, job in rules.jobs.items()),
        "phases": sorted([code, *phase] for code, phase in rules.phases.items()),
        "cost_types": sorted([kind, *mapped] for kind, mapped in rules.cost_types.items()),
        "approvers": [
            [company, project, sorted(users)]
            for (company, project), users in sorted(
                rules.approvers.items(), key=lambda item: (item[0][0], item[0][1] or 0)
            )
        ],
        "four_eyes": rules.four_eyes,
        "require_content_hash": rules.require_content_hash,
        "removed_lines": rules.removed_lines,
        "long_descriptions": rules.long_descriptions,
        "quantities": rules.quantities,
        "acknowledgement_deadline": rules.acknowledgement_deadline.total_seconds(),
        "parked_expiry": rules.parked_expiry.total_seconds(),
        "parked_limit": rules.parked_limit,
    }
    text = json.dumps(content, sort_keys=True)
    return text, hashlib.sha256(text.encode()).hexdigest()


def restore_rules(text: str) -> Rules:
    """Read what ``write_rules`` wrote."""
    content = json.loads(text)
    return Rules(
        jobs={(company, project): Job(*job) for company, project, *job in content["jobs"]},
        phases={code: Phase(*phase) for code, *phase in content["phases"]},
        cost_types={kind: CostType(*mapped) for kind, *mapped in content["cost_types"]},
        approvers={(company, project): frozenset(users) for company, project, users in content["approvers"]},
        four_eyes=content["four_eyes"],
        require_content_hash=content["require_content_hash"],
        removed_lines=content["removed_lines"],
        long_descriptions=content["long_descriptions"],
        quantities=content["quantities"],
        acknowledgement_deadline=timedelta(seconds=content["acknowledgement_deadline"]),
        parked_expiry=timedelta(seconds=content["parked_expiry"]),
        parked_limit=content["parked_limit"],
    )


def _read_policies(reading: _Reading) -> _Policies:
    file = "rules.toml"
    try:
        return _Policies.model_validate(tomllib.loads((reading.folder / file).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reading.complain(file, None, _say(error))
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            where = ".".join(map(str, problem["loc"]))
            what = (
                "no such key" if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
            )
            reading.complain(file, None, f"{where}: {what}")
    return _Policies()


def _read_jobs(reading: _Reading) -> Mapping[tuple[int, int], Job]:
    file = "jobs.csv"
    jobs: dict[tuple[int, int], Job] = {}
    rows: dict[Job, int] = {}
    for row, (company, project, code, number) in _read_rows(
        reading, file, ("company_id", "project_id", "company_code", "job_number")
    ):
        key = (_read_id(reading, file, row, "company_id", company), _read_id(reading, file, row, "project_id", project))
        _check_key(reading, file, row, "company_code", code, MAX_COMPANY)
        _check_key(reading, file, row, "job_number", number, MAX_JOB)
        job = Job(code, number)
        if key in jobs:
            reading.complain(file, row, f"project {company}/{project} has a job already")
        if job in rows:
            reading.complain(file, row, f"job {number} of company {code} is in row {rows[job]} already")
        jobs[key] = job
        rows.setdefault(job, row)
    return jobs


def _read_phases(reading: _Reading) -> Mapping[str, Phase]:
    file = "phases.csv"
    phases: dict[str, Phase] = {}
    for row, (cost_code, phase_code, description) in _read_rows(
        reading, file, ("cost_code", "phase_code", "description")
    ):
        _check_present(reading, file, row, "cost_code", cost_code, phases)
        _check_key(reading, file, row, "phase_code", phase_code, MAX_PHASE)
        if "-" in phase_code:
            reading.complain(file, row, f"phase_code: {phase_code!r} has a dash; Spectrum takes phases without")
        phases[cost_code] = Phase(phase_code, description or None)
    return phases


def _read_cost_types(reading: _Reading) -> Mapping[str, CostType]:
    file = "cost_types.csv"
    kinds: dict[str, CostType] = {}
    for row, (kind, spectrum, method) in _read_rows(
        reading, file, ("cost_type", "spectrum_cost_type", "price_method_code")
    ):
        _check_present(reading, file, row, "cost_type", kind, kinds)
        _check_key(reading, file, row, "spectrum_cost_type", spectrum, MAX_COST_TYPE)
        if method not in {"F", "T", "C", "U", "J"}:
            reading.complain(file, row, f"price_method_code: one of F, T, C, U, J is expected, not {method!r}")
        kinds[kind] = CostType(spectrum, cast("PriceMethod", method))
    return kinds


def _read_approvers(reading: _Reading) -> Mapping[tuple[int, int | None], frozenset[str]]:
    file = "approvers.csv"
    approvers: dict[tuple[int, int | None], frozenset[str]] = {}
    for row, (company, project, user) in _read_rows(reading, file, ("company_id", "project_id", "user")):
        company_id = _read_id(reading, file, row, "company_id", company)
        project_id = _read_id(reading, file, row, "project_id", project) if project else None
        if not user:
            reading.complain(file, row, "user: it is empty")
        key = (company_id, project_id)
        approvers[key] = approvers.get(key, frozenset()) | {fold_user(user)}
    return approvers


def _read_rows(reading: _Reading, file: str, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Read the rows of a table with the line that each stands on; blank ones are passed over."""
    try:
        # With a byte-order mark, as spreadsheets save it, or without.
        text = (reading.folder / file).read_text(encoding="utf-8-sig")
        table = csv.reader(text.splitlines(keepends=True), strict=True)
        rows = [(table.line_num, [cell.strip() for cell in row]) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reading.complain(file, None, _say(error))
        return
    filled = [(number, row) for number, row in rows if any(row)]
    if not filled or tuple(filled[0][1]) != columns:
        reading.complain(file, 1, f"the columns {','.join(columns)} are expected")
        return
    for number, row in filled[1:]:
        if len(row) == len(columns):
            yield number, row
        else:
            reading.complain(file, number, f"{len(columns)} cells are expected, not {len(row)}")


def _read_id(reading: _Reading, file: str, row: int, column: str, cell: str) -> int:
    if re.fullmatch(r"[0-9]{1,19}", cell, re.ASCII) and 1 <= int(cell) <= MAX_INT64:
        return int(cell)
    reading.complain(file, row, f"{column}: a positive whole number is expected, not {cell!r}")
    return 0


def _check_present(reading: _Reading, file: str, row: int, column: str, cell: str, seen: Mapping[str, object]) -> None:
    if not cell:
        reading.complain(file, row, f"{column}: it is empty")
    if cell in seen:
        reading.complain(file, row, f"{column}: {cell!r} is in the table already")


def _check_key(reading: _Reading, file: str, row: int, column: str, cell: str, limit: int) -> None:
    if not cell:
        reading.complain(file, row, f"{column}: it is empty")
    if len(cell) > limit:
        reading.complain(file, row, f"{column}: {cell!r} is longer than the {limit} characters that Spectrum takes")
    if found := _FORBIDDEN.search(cell):
        reading.complain(file, row, f"{column}: {cell!r} has {found[0]!r}, which Spectrum does not take in a key")


def _say(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return f"it cannot be read: {error}"
