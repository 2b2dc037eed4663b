"""Plays everybody around the bridge while things break: managers, an approver, and Spectrum with its connector.

They react to what they read. The id of each reaction is derived from its cause, so reading a message again causes the
same reaction again.
"""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

from contracts.body import Inbound
from contracts.budget_key import BudgetKey
from contracts.erp_snapshot import ErpSnapshot
from contracts.fields import write_time
from contracts.imports import ImportApplied
from contracts.inbound import ErpAcknowledgement
from contracts.records import Outgoing, Record
from contracts.topics import DEAD_LETTERS
from demo.spectrum import LineKey, Spectrum, SpectrumJob, finish
from demo.spectrum_accounting import run_project_setup
from demo.spectrum_messages import read_export, write_acknowledgement
from demo.spectrum_snapshot import Reader
from tests.exactly_once.deployment import RunningDeployment
from tests.unit.builders import CONCRETE, KEY, STEEL, accept, decide_drift, lock, reject, request_import, retry
from worker.kafka.errors import KafkaDown

_AGAIN_SECONDS: Final = 0.2
_NOW: Final = "2026-11-24T08:00:00Z"


class People:
    """Keeps some budgets going round, version after version, until it is enough."""

    def __init__(self, deployment: RunningDeployment, budgets: int) -> None:
        self._deployment = deployment
        self._keys = [KEY._replace(project_id=project) for project in range(1, budgets + 1)]
        self._spectrum = Spectrum()
        self._taken = 0
        self._latest: dict[BudgetKey, dict[str, Any]] = {}
        self.locked: Counter[BudgetKey] = Counter()
        """The highest version that was locked."""
        self.sent = 0
        """Messages sent, without those sent again because the sending failed."""
        self.enough = False

    async def work(self) -> None:
        """Lock every budget, or import it first, then react to whatever the bridge sends."""
        await self._send([self._import(key) if key.project_id % 3 == 0 else self._lock(key) for key in self._keys])
        while True:
            try:
                await self._deployment.read(0.1)
            except KafkaDown:
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            new, self._taken = self._deployment.seen[self._taken :], len(self._deployment.seen)
            reactions = [reaction for record in new for reaction in self._react(record)]
            if reactions:
                await self._send(reactions)

    @property
    def are_done(self) -> bool:
        """Whether every budget is synced at the last version that was locked, and was read so."""
        return self.enough and all(
            (shown := self._latest.get(key)) is not None
            and (shown["status"], shown["budget_version"]) == ("SYNCED", self.locked[key])
            and shown["read_back"] == "matches"
            for key in self._keys
        )

    def list_undone(self) -> list[dict[str, Any]]:
        """List the latest statuses of budgets that are not synced, or not read so."""
        return [
            shown for shown in self._latest.values() if (shown["status"], shown["read_back"]) != ("SYNCED", "matches")
        ]

    def find_wrong_figures(self) -> list[str]:
        """Compare what Spectrum holds with what was locked last, to the cent."""
        wrong = []
        for key in self._keys:
            amounts = self._spectrum.read_amounts(SpectrumJob("001", f"J{key.project_id}"))
            found = {line: Decimal(amount).scaleb(-2) for line, amount in amounts.items() if amount}
            wanted = {
                ("05120", "S"): _choose_amount(key, self.locked[key]),
                ("03300", "M"): Decimal("312000.25"),
            }
            if self.locked[key] % 2:
                del wanted["03300", "M"]
            if {tuple(line): amount for line, amount in found.items()} != wanted:
                wrong.append(f"{key}: {found} instead of {wanted}")
        return wrong

    def _react(self, record: Record) -> list[Outgoing]:
        if record.place.topic.endswith(DEAD_LETTERS):
            # Whatever somebody wrote: nothing that the bridge sends to them.
            return []
        cause = (dict(record.headers).get("ce_id") or b"").decode()
        data: dict[str, Any] = json.loads(record.value or b"{}")
        key = BudgetKey(data["company_id"], data["project_id"], data["budget_id"])
        version: int = data.get("budget_version", 0)
        reactions: list[Outgoing | None] = []
        match dict(record.headers).get("ce_type"):
            case b"approval.requested.v1":
                refuses = _chance(cause, 12) and self.locked[key] == version
                accepted = accept(version, key=key, content_hash=data["content_hash"])
                reactions = [self._write(reject(version, key=key) if refuses else accepted, cause)]
            case b"spectrum.export.v1" | b"spectrum.resync.v1":
                reactions = [self._answer(data, cause)]
            case b"spectrum.snapshot_requested.v1":
                reactions = [*self._read(data, cause)]
            case b"budget.import_ready.v1":
                reactions = [self._apply(key, data, cause)]
            case b"budget.import_ended.v1" if not self.locked[key]:
                reactions = [self._lock(key, cause)]
            case b"erp.drift.v1" if data["state"] == "differs":
                reactions = [self._settle(key, data, cause)]
            case b"budget.status.v1":
                self._latest[key] = data
                reactions = [self._follow_up(key, data, cause)]
        return [reaction for reaction in reactions if reaction]

    def _read(self, asked: dict[str, Any], cause: str) -> list[Outgoing]:
        """Read the job, a line on each page, in which somebody may have typed a figure over."""
        budget = (asked["company_id"], asked["project_id"], asked["budget_id"])
        job = SpectrumJob(asked["company_code"], asked["job_number"])
        if not self.enough and _chance(cause, 4):
            _, line = min(self._spectrum.jobs[job].items())
            line.original += 100
        now = write_time(datetime.now(UTC))
        pages = Reader(page_lines=1).read(self._spectrum, budget, job, cause, now, asked["request_id"])
        return [self._write(ErpSnapshot.model_validate(page), f"{cause}/{page['page']}") for page in pages]

    def _settle(self, key: BudgetKey, drift: dict[str, Any], cause: str) -> Outgoing:
        """Have the figures sent once more, or keep Spectrum's where the next version overwrites them anyway."""
        keeps = self.locked[key] > drift["budget_version"] and _chance(cause, 2)
        decision = decide_drift("keep" if keeps else "restate", drift["drift_hash"], reason="typed over")
        return self._write(decision.model_copy(update=key._asdict()), cause)

    def _follow_up(self, key: BudgetKey, shown: dict[str, Any], cause: str) -> Outgoing | None:
        version = shown["budget_version"]
        if shown["status"] == "EXPORT_FAILED":
            return self._write(retry(version, key=key), cause)
        # Every other version is read first, so that what differs can be restated; the others overtake their reading.
        is_next_due = shown["read_back"] == "matches" or _chance(f"{key}/{version}", 2)
        if shown["status"] == "RETURNED" or (shown["status"] == "SYNCED" and is_next_due and not self.enough):
            return self._lock(key, cause) if self.locked[key] == version else None
        return None

    def _answer(self, export: dict[str, Any], cause: str) -> Outgoing:
        order = read_export(export)
        body = {
            **{name: export[name] for name in ("company_id", "project_id", "budget_id", "budget_version")},
            **{name: export[name] for name in ("export_id", "attempt")},
            "status": "failed",
            "acknowledged_at": write_time(datetime.now(UTC)),
        }
        if export["attempt"] > 1 or not _chance(cause, 6):
            body = write_acknowledgement(order, finish(self._spectrum.apply(order)), write_time(datetime.now(UTC)))
        return self._write(ErpAcknowledgement.model_validate(body), cause)

    def _import(self, key: BudgetKey) -> Outgoing:
        """Ask for a job that was set up in Spectrum, with a line that the first version lacks."""
        lines = self._spectrum.jobs.setdefault(SpectrumJob("001", f"J{key.project_id}"), {})
        run_project_setup(lines, {LineKey("05120", "S"): 1_00, LineKey("03300", "M"): 2_00})
        return self._write(request_import(**key._asdict()), "first")

    def _apply(self, key: BudgetKey, offered: dict[str, Any], cause: str) -> Outgoing:
        """Take what is offered into the project side's budget."""
        taken = {"import_id": offered["import_id"], "applied_by": "ann", "applied_at": _NOW, "status": "whole"}
        return self._write(ImportApplied.model_validate(key._asdict() | taken), cause)

    def _lock(self, key: BudgetKey, cause: str = "first") -> Outgoing:
        self.locked[key] += 1
        version = self.locked[key]
        steel = STEEL | {"original_amount": str(_choose_amount(key, version))}
        lines = [steel] if version % 2 else [steel, CONCRETE]
        return self._write(lock(version, *lines, key=key), cause)

    def _write(self, body: Inbound, cause: str) -> Outgoing:
        message_id = str(uuid5(NAMESPACE_OID, f"{cause}/{body.type}/{body.version}/{body.project_id}"))
        deployment = self._deployment
        topic = deployment.prefix + deployment.find_topic(body)
        key = str(body.key).encode()
        return Outgoing(topic, key, body.model_dump_json().encode(), deployment.head(body, message_id))

    async def _send(self, records: list[Outgoing]) -> None:
        self.sent += len(records)
        while True:
            try:
                await self._deployment.appender.append(records)
            except KafkaDown:
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return


def _choose_amount(key: BudgetKey, version: int) -> Decimal:
    return Decimal(key.project_id * 1000 + version).scaleb(-2) + 1


def _chance(cause: str, one_in: int) -> bool:
    return uuid5(NAMESPACE_OID, cause).int % one_in == 0
