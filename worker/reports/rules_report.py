"""The rules for people and programs: a version row by row, what differs between two, and who applied which."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Literal, NamedTuple

from contracts.fields import write_time
from contracts.signature.keys import PublicKey
from handlers.ids import write_reference
from handlers.rules import SECTION, CostType, Phase, Rules, name_policy
from handlers.signers import Signer
from outbox.rules import Application
from worker.console import Console
from worker.durations import format_duration
from worker.reports.budget_report import format_time

Change = Literal["added", "removed", "changed"]


class RuleRow(NamedTuple):
    """One policy, or one row of a table, by the file that it is in."""

    file: str
    key: str


class RuleChange(NamedTuple):
    """One row that differs; a value is empty where there is no such row."""

    row: RuleRow
    change: Change
    before: str
    after: str


def list_rows(rules: Rules) -> Mapping[RuleRow, str]:
    """List the rows of the rules with their values, in the order of the files."""
    return dict(_list_rows(rules))


def compare_rules(before: Rules, after: Rules) -> list[RuleChange]:
    """List the rows that differ, in the order of the files."""
    old, new = list_rows(before), list_rows(after)
    order = {file: number for number, file in enumerate(dict.fromkeys(row.file for row in (*old, *new)))}
    rows = sorted(old.keys() | new.keys(), key=lambda row: (order[row.file], row.key))
    return [
        RuleChange(row, _name_change(row, old, new), old.get(row, ""), new.get(row, ""))
        for row in rows
        if old.get(row) != new.get(row)
    ]


def write_application(application: Application) -> dict[str, object]:
    """Write an application as JSON values."""
    return {**application._asdict(), "at": write_time(application.at)}


def write_rows(rows: Mapping[RuleRow, str]) -> list[dict[str, str]]:
    """Write rows as JSON values."""
    return [{**row._asdict(), "value": value} for row, value in rows.items()]


def write_changes(changes: Sequence[RuleChange]) -> list[dict[str, str]]:
    """Write changes as JSON values."""
    return [{**one.row._asdict(), "change": one.change, "before": one.before, "after": one.after} for one in changes]


def print_application(application: Application, *, in_force: bool, console: Console) -> None:
    """Print which version this is, and who applied it when and why."""
    state = "is in force" if in_force else "is not in force"
    console.print_line(f"Version {application} {state}", style="bold")
    console.print_line(f"  applied {format_time(application.at)} by {application.applied_by}")
    console.print_line(f"  why: {application.why}")


def print_rows(rows: Mapping[RuleRow, str], console: Console) -> None:
    """Print rows file by file."""
    for file in dict.fromkeys(row.file for row in rows):
        console.print_line()
        console.print_line(file, style="bold")
        console.print_table((), [(row.key, value) for row, value in rows.items() if row.file == file], indent="  ")


def print_changes(changes: Sequence[RuleChange], console: Console) -> None:
    """Print what differs, one line for each row: ``+`` added, ``-`` removed, ``~`` changed."""
    for file in dict.fromkeys(one.row.file for one in changes):
        console.print_line(file, style="bold")
        for one in changes:
            if one.row.file == file:
                values = {"added": one.after, "removed": one.before, "changed": f"{one.before} -> {one.after}"}
                sign = {"added": "+", "removed": "-", "changed": "~"}[one.change]
                console.print_line(f"  {sign} {one.row.key}: {values[one.change]}")


def print_applications(applications: Sequence[Application], total: int, console: Console) -> None:
    """Print who applied which version, latest first."""
    if not applications:
        console.print_line("no version was applied yet")
        return
    console.print_table(
        ("at", "version", "by", "why"),
        [(format_time(one.at), str(one), one.applied_by, one.why) for one in applications],
    )
    if total > len(applications):
        console.print_line(f"the latest {len(applications)} of {total}")


def _list_rows(rules: Rules) -> Iterator[tuple[RuleRow, str]]:
    for policy in fields(Rules):
        if SECTION in policy.metadata:
            yield RuleRow("rules.toml", ".".join(name_policy(policy))), _format_policy(getattr(rules, policy.name))
    for (company, project), job in sorted(rules.jobs.items()):
        first = f", references from {write_reference(job.first_reference)}" if job.first_reference > 1 else ""
        yield RuleRow("jobs.csv", f"{company}/{project}"), f"company {job.company_code}, job {job.job_number}{first}"
    for code, phase in sorted(rules.phases.items()):
        description = f", {phase.description}" if phase.description else ""
        yield RuleRow("phases.csv", code), f"phase {phase.phase_code}{description}{_describe_preferred(phase)}"
    for kind, mapped in sorted(rules.cost_types.items()):
        says = f"cost type {mapped.spectrum_cost_type}, price method {mapped.price_method_code}"
        yield RuleRow("cost_types.csv", kind), says + _describe_preferred(mapped)
    for (company, approved), users in sorted(rules.approvers.items(), key=lambda item: (item[0][0], item[0][1] or 0)):
        for user in sorted(users):
            where = f"{company}/{approved}" if approved else f"all of {company}"
            yield RuleRow("approvers.csv", f"{where}, {user}"), "approver"
    for kid, key in sorted(rules.signing_keys.items()):
        yield RuleRow("signers.jwks.json", kid), f"{key.algorithm}, SHA-256 {_digest_key(key)}"
    for signer in rules.signers:
        where = f"{signer.company_id}/{signer.project_id}" if signer.project_id else f"all of {signer.company_id}"
        row = f"{signer.kid}, {signer.user}, {where}{_format_bounds(signer)}"
        yield RuleRow("signers.csv", row), f"may sign: {', '.join(sorted(signer.may))}"


def _describe_preferred(row: Phase | CostType) -> str:
    return ", preferred by imports" if row.preferred else ""


def _digest_key(key: PublicKey) -> str:
    return hashlib.sha256(key.material).hexdigest()


def _format_bounds(signer: Signer) -> str:
    start = f", from {write_time(signer.valid_from)}" if signer.valid_from else ""
    return f"{start}, until {write_time(signer.valid_until)}" if signer.valid_until else start


def _format_policy(value: object) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "nothing"
    if isinstance(value, timedelta):
        return format_duration(value)
    if value is None:
        return "off"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _name_change(row: RuleRow, old: Mapping[RuleRow, str], new: Mapping[RuleRow, str]) -> Change:
    if row not in old:
        return "added"
    return "changed" if row in new else "removed"
