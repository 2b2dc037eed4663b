"""What the scenarios of the demo are made of: who acts, what is sent, and what is expected, printed and checked."""

import hashlib
import json
from decimal import Decimal
from typing import Final, NamedTuple

from contracts.budget_key import BudgetKey
from demo.bridge_client import BridgeClient, Data
from demo.spectrum import LineKey, Spectrum, SpectrumJob
from demo.timeline import Timeline

COMPANY: Final = 4211
MANAGER: Final = "m.reyes@hillside.example"
ESTIMATOR: Final = "j.okafor@hillside.example"
ACCOUNTANT: Final = "accounting@hillside.example"
OPERATOR: Final = "ops@hillside.example"

COMPANY_CODE: Final = "001"
"""What ``COMPANY`` is called in Spectrum."""
PHASES: Final = {
    "01-500": "01500",
    "01-510": "01510",
    "02-310": "02310",
    "03-300": "03300",
    "05-120": "05120",
    "09-900": "09900",
}
"""The phase of each cost code, as in ``rules/phases.csv``."""
PRICE_METHODS: Final = {"L": "T", "M": "T", "S": "F", "E": "T"}
"""The price method of each cost type, as in ``rules/cost_types.csv``."""


class Line(NamedTuple):
    """One line of a budget."""

    item_id: int
    cost_code: str
    cost_type: str
    description: str
    amount: str
    revision: str = "0.00"

    @property
    def key(self) -> LineKey:
        """The phase and cost type that it is in Spectrum."""
        return LineKey(PHASES[self.cost_code], self.cost_type)

    @property
    def cents(self) -> int:
        """The amount in hundredths."""
        return int(Decimal(self.amount) * 100)


OFFICE: Final = (
    Line(1, "01-500", "L", "General conditions", "48000.00"),
    Line(2, "03-300", "M", "Concrete, cast in place", "312500.00"),
    Line(3, "03-300", "L", "Concrete, cast in place", "187250.50"),
    Line(4, "05-120", "S", "Structural steel", "640000.00"),
)
STEEL: Final = (Line(1, "05-120", "S", "Structural steel", "410000.00"),)


class Scene(NamedTuple):
    """Everything that a scenario needs."""

    bridge: BridgeClient
    spectrum: Spectrum
    """What Spectrum holds; people change it behind the bridge's back."""
    timeline: Timeline


def write_lock(lines: tuple[Line, ...]) -> Data:
    """Write the data of a lock of these lines."""
    return {
        "currency": "USD",
        "total_amount": str(sum((Decimal(line.amount) + Decimal(line.revision) for line in lines), Decimal(0))),
        "created_by": ESTIMATOR,
        "locked_by": MANAGER,
        "sent_by": MANAGER,
        "locked_at": "2026-11-24T08:00:00Z",
        "lines": [
            {
                "budget_line_item_id": line.item_id,
                "cost_code": line.cost_code,
                "cost_type": line.cost_type,
                "description": line.description,
                "original_amount": line.amount,
                "revision_amount": line.revision,
            }
            for line in lines
        ],
    }


def write_acceptance(content_hash: str, at: str = "2026-11-24T09:00:00Z") -> Data:
    """Write the data of the accountant's acceptance of what they saw."""
    return write_decision("accept") | {"content_hash": content_hash, "decided_at": at}


def write_decision(decision: str, reason: str | None = None) -> Data:
    """Write the data of a decision of the accountant."""
    return {
        "decision": decision,
        "decided_by": ACCOUNTANT,
        "decided_at": "2026-11-24T09:00:00Z",
        "reason": reason,
    }


def hash_content(job: str, lines: tuple[Line, ...]) -> str:
    """Hash what a job would hold, as docs/messages.md describes ``content_hash``.

    An approval tool that knows a budget before the bridge has asked for its approval computes the hash itself.
    """
    content = sorted(
        (*line.key, line.description, line.cents, 0, PRICE_METHODS[line.cost_type], None, None) for line in lines
    )
    text = json.dumps([COMPANY_CODE, job, "USD", content], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


async def lock(scene: Scene, budget: BudgetKey, version: int, lines: tuple[Line, ...]) -> None:
    """The manager locks a version."""
    lock = write_lock(lines)
    await scene.bridge.send("budget.locked.v1", budget, version, lock)
    total = format_amount(lock["total_amount"])
    what = f"locks version {version}: {count_lines(len(lines))}, {total} USD"
    scene.timeline.print_event("→", "manager", what)


async def accept(
    scene: Scene, budget: BudgetKey, version: int, content_hash: str, at: str = "2026-11-24T09:00:00Z"
) -> str:
    """The accountant accepts a version; returns the message's id."""
    message_id = await scene.bridge.send("approval.decision.v1", budget, version, write_acceptance(content_hash, at))
    scene.timeline.print_event("→", "approver", f"accepts version {version}, content {content_hash[:12]}…")
    return message_id


async def expect_request(scene: Scene, budget: BudgetKey, version: int) -> Data:
    """The bridge asks for approval."""
    request = await scene.bridge.expect("approval.requested.v1", budget, budget_version=version)
    what = f"asks for approval of version {version} ({request['kind']}), content {request['content_hash'][:12]}…"
    scene.timeline.print_event("←", "bridge", what)
    await expect_status(scene, budget, version, "PENDING_APPROVAL")
    return request


async def expect_export(scene: Scene, budget: BudgetKey, version: int, *, resync: bool = False) -> Data:
    """The bridge sends an export."""
    kind = "spectrum.resync.v1" if resync else "spectrum.export.v1"
    export = await scene.bridge.expect(kind, budget, budget_version=version)
    scene.timeline.print_event(
        "←",
        "bridge",
        f"sends {kind} {export['change_reference']}, attempt {export['attempt']}: "
        f"{count_lines(export['line_count'])}, {format_amount(export['total_amount'])} {export['currency']} "
        f"to job {export['job_number']}",
    )
    if resync and export["attempt"] == 1:
        # What was read before says nothing any more.
        await scene.bridge.expect("erp.drift.v1", budget, reason="export_sent")
    await expect_status(scene, budget, version, "EXPORTING")
    return export


async def expect_status(scene: Scene, budget: BudgetKey, version: int, status: str) -> Data:
    """The bridge reports a status."""
    message = await scene.bridge.expect("budget.status.v1", budget, budget_version=version, status=status)
    scene.timeline.print_event("←", "bridge", f"status {status}", style="cyan")
    return message


async def expect_synced(scene: Scene, budget: BudgetKey, version: int) -> None:
    """Spectrum takes an export whole; the bridge has it read back, and finds what it sent."""
    scene.timeline.print_event("→", "Spectrum", "acknowledges success: it holds every line")
    status = await expect_status(scene, budget, version, "SYNCED")
    what = f"version {version} is reported as the one that Spectrum holds"
    scene.timeline.check(what, holds=status["synced_version"] == version)
    drift = await expect_read_back(scene, budget)
    scene.timeline.check("read back, the job holds what was sent", holds=drift["state"] == "matches")


async def expect_read_back(scene: Scene, budget: BudgetKey) -> Data:
    """The bridge asks what Spectrum holds, gets a snapshot, and reports what it shows; returns that report."""
    asked = await scene.bridge.expect("spectrum.snapshot_requested.v1", budget)
    scene.timeline.print_event("←", "bridge", f"asks what job {asked['job_number']} holds")
    drift = await scene.bridge.expect("erp.drift.v1", budget)
    await scene.bridge.expect("budget.status.v1", budget, read_back=drift["state"], read_at=drift["read_to"])
    held = scene.spectrum.jobs[SpectrumJob(asked["company_code"], asked["job_number"])]
    scene.timeline.print_event("→", "Spectrum", f"answers with a snapshot of {count_lines(len(held))}")
    return drift


def print_failed_lines(scene: Scene, status: Data) -> None:
    """Print which lines Spectrum refused, in its words."""
    for line in status["failed_lines"]:
        scene.timeline.print_detail(f"{line['phase_code']} {line['cost_type']}: {line['error_description']}")


def check_amounts(scene: Scene, job: str, lines: tuple[Line, ...]) -> None:
    """Check that Spectrum holds these lines and no other."""
    expected = {line.key: line.cents for line in lines}
    amounts = scene.spectrum.read_amounts(SpectrumJob(COMPANY_CODE, job))
    held = {key: amount for key, amount in amounts.items() if amount}
    scene.timeline.check(f"Spectrum's job {job} holds exactly these lines, to the cent", holds=held == expected)


def format_amount(amount: str) -> str:
    """Format an amount for people."""
    return f"{Decimal(amount):,}"


def count_lines(count: int) -> str:
    """Write a number of lines for people."""
    return f"{count} line{'' if count == 1 else 's'}"
