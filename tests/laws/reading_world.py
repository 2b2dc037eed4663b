"""A world in which Spectrum is read, and in which people there change figures: the laws of what a reading shows.

Without such people, nothing that is compared with the base may ever differ (LD2). With them, whatever they changed is
found to the cent, and nothing else (LD2); a restatement ends it (LD3). A reading exports nothing by itself (LD1), and
what belongs to others stays (LD4).
"""

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta

from contracts.budget_key import BudgetKey
from contracts.drift import DriftDecision
from contracts.erp_snapshot import ErpSnapshot
from contracts.fields import write_time
from contracts.inbound import DeadlinePassed, InboundMessage, SnapshotRequest
from contracts.outbound import SpectrumExport
from demo.spectrum import COMPLETE, HeldLine, LineKey, SpectrumJob
from demo.spectrum_accounting import run_project_setup, set_current_from_original
from demo.spectrum_snapshot import Reader
from handlers.budget import Status
from handlers.decision import Outcome
from handlers.drift import hash_drift
from tests.laws.world import PROJECT, World, expect, play_world, require

OF_ACCOUNTING = LineKey("P9", "Z")
"""A line that accounting has made, and nobody sends."""


@dataclass
class ReadingWorld(World):
    """One history in which Spectrum is read, and perhaps meddled with."""

    meddled: bool = False
    _reads: int = 0
    _changed: set[tuple[SpectrumJob, LineKey]] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rules = replace(
            self.rules,
            after_success=self.chance.random() < 0.5,
            every=timedelta(days=1) if self.chance.random() < 0.5 else None,
            acknowledges=self.chance.choice(["no", "success"]),
            open_drift=self.chance.choice(["notice", "notice", "block"]),
        )
        for lines in self.spectrum.jobs.values():
            lines[OF_ACCOUNTING] = HeldLine(original=1_200_000)

    def play(self) -> None:
        """Play the history, with readings in between; then check that what differs is found, and can be ended."""
        for _ in range(self.steps):
            self.now += timedelta(seconds=self.chance.choice([0, 1, 60, 4000]))
            actions = [
                self._lock,
                self._decide,
                self._retrieve,
                self._command,
                self._deliver,
                self._work_erp,
                self._change,
                self._read,
                self._decide_drift,
                self._meddle,
                self._set_status,
            ]
            weights = [10, 12, 2, 3, 34, 30, 1, 12, 4, 3 if self.meddled else 0, 2 if self.meddled else 0]
            self.chance.choices(actions, weights)[0]()
        self.drain()
        for key in self.budgets:
            if self.budgets[key].status is Status.SYNCED:
                self._check_at_rest(key)

    def _read(self) -> None:
        """Read a job while nothing is being written to it, and send the pages; or ask for a reading."""
        key, budget = self._pick()
        if self.chance.random() < 0.2:
            self._post(SnapshotRequest(**key._asdict(), requested_by="olga", reason="odd"))
            return
        reader = Reader(
            current_only=self.chance.random() < 0.1, pads_keys=True, page_lines=self.chance.choice([1, 2, 100])
        )
        asked = budget.open_request
        pages = self._read_job(key, reader, str(asked.id) if asked and self.chance.random() < 0.7 else None)
        if self.chance.random() < 0.1:
            pages = pages[:-1]
        for page in pages:
            self._post(page)
        if budget.read_back and budget.read_back.due_at:
            self._post(DeadlinePassed(**key._asdict(), deadline="read_back", due_at=budget.read_back.due_at))
        if asked and self.chance.random() < 0.3:
            self._post(DeadlinePassed(**key._asdict(), deadline="snapshot", due_at=asked.due_at))

    def _read_job(self, key: BudgetKey, reader: Reader, request_id: str | None = None) -> list[ErpSnapshot]:
        target = self.budgets[key].spectrum_target or self.rules.jobs[PROJECT]
        job = SpectrumJob(target.company_code, target.job_number)
        if self._working and self._working[0].job == job:
            return []
        self._reads += 1
        at = write_time(self.now + timedelta(microseconds=self._reads))
        pages = reader.read(self.spectrum, key, job, f"s{self._reads}", at, request_id)
        return [ErpSnapshot.model_validate(page) for page in pages if len(pages) <= 10]

    def _decide_drift(self) -> None:
        key, budget = self._pick()
        found = hash_drift(budget.read_back.open_lines) if budget.read_back else None
        if found:
            decision = self.chance.choice(["restate", "keep"])
            self._post(self._write_decision(key, decision, found))

    def _write_decision(self, key: BudgetKey, decision: str, found: str) -> DriftDecision:
        data = {"decision": decision, "drift_hash": found, "decided_by": "ann", "decided_at": self.now, "reason": "so"}
        return DriftDecision.model_validate(key._asdict() | data)

    def _meddle(self) -> None:
        """Somebody in Spectrum types a figure over, sets the current estimate from it, or runs Project Setup again."""
        if self._working:
            return
        lines = self._list_lines()
        if not lines:
            return
        job, key = self.chance.choice(lines)
        held = self.spectrum.jobs[job][key]
        moved = held.original + self.chance.choice([-1, 1, 100])
        match self.chance.choice(["type", "type", "utility", "setup"]):
            case "type":
                held.original = moved
            case "utility":
                set_current_from_original([held])
            case _:
                run_project_setup(self.spectrum.jobs[job], {key: moved})
        self.counts["figures typed over"] += 1

    def _set_status(self) -> None:
        """Somebody in Spectrum sets phases Complete, which then take nothing, or Active again."""
        for job, key in self._list_lines():
            self.spectrum.jobs[job][key].status = self.chance.choice(["A", "A", COMPLETE])

    def _list_lines(self) -> list[tuple[SpectrumJob, LineKey]]:
        lines = [(job, key) for job, held in self.spectrum.jobs.items() for key in held if key != OF_ACCOUNTING]
        return sorted(lines)

    def deliver(self, message_id: str, body: InboundMessage, first: str = "") -> Outcome | None:
        """Decide one message, and check what a reading may cause."""
        before = self.budgets[body.key]
        outcome = super().deliver(message_id, body, first)
        after = self.budgets[body.key]
        if outcome is None:
            return None
        if isinstance(body, ErpSnapshot):
            self.counts[f"pages {outcome.verdict.value}"] += 1
            # One that ends an export makes a waiting version current, of which an acceptance may be parked.
            require("LD1: a reading exports nothing", holds=after.tries == before.tries or after.base != before.base)
        drift = after.read_back.drift if after.read_back else None
        if drift and after.open_lines and not self.meddled:
            base = after.base.id if after.base else None
            require(f"LD2: {after.open_lines} differ though nobody changed them", holds=drift.export_id != base)
        for lines in self.spectrum.jobs.values():
            require("LD4: what accounting made stays", holds=lines[OF_ACCOUNTING] == HeldLine(original=1_200_000))
        return outcome

    def _take_export(self, key: BudgetKey, export: SpectrumExport) -> None:
        base, inflight = self.budgets[key].base, self._inflight.get(key)
        if base and inflight and base.version == inflight.version:
            # Perhaps a reading has shown that it stands.
            inflight.answered = True
        super()._take_export(key, export)

    def drain(self) -> None:
        """Open every phase, deliver everything, and find the way to SYNCED by acceptances that name no drift."""
        self.rules = replace(self.rules, open_drift="notice")
        for job, key in self._list_lines():
            self.spectrum.jobs[job][key].status = "A"
        super().drain()

    def check(self) -> None:
        """Law 4 holds at every moment, unless somebody in Spectrum changes figures."""
        if not self.meddled:
            super().check()

    def list_kept(self, key: BudgetKey) -> set[LineKey]:
        """List the lines that were kept: law 4 holds but for what a person decided otherwise (rows D2 and D3)."""
        budget = self.budgets[key]
        return {LineKey(*line[:2]) for line in budget.read_back.kept} if budget.read_back else set()

    def _check_at_rest(self, key: BudgetKey) -> None:
        """LD2 and LD3: what differs now is found exactly, and a restatement ends it."""
        if self.meddled:
            self._meddle()
        self.now += timedelta(days=1)
        self._deliver_reading(key)
        found = self.budgets[key].read_back
        wanted = self._add_up_differences(key)
        total = sum(line.amount for line in found.drift.lines) if found and found.drift else -1
        require(f"LD2: {total} differs, not {wanted}", holds=total == wanted)
        self.counts["differences found at rest"] += wanted > 0
        if found and (now := hash_drift(found.open_lines)):
            self._deliver_and_settle(self._write_decision(key, "restate", now))
            self._finish_export(key)
            self.now += timedelta(days=1)
            self._deliver_reading(key)
            drift = self.budgets[key].read_back
            require("LD3: a restatement ends it", holds=bool(drift and drift.drift and drift.drift.state == "matches"))

    def _deliver_reading(self, key: BudgetKey) -> None:
        pages = self._read_job(key, Reader(page_lines=self.chance.choice([2, 100])))
        self.chance.shuffle(pages)
        for page in pages:
            self._deliver_and_settle(page)

    def _add_up_differences(self, key: BudgetKey) -> int:
        """Add up what differs, by a simple comparison that is independent of the core's."""
        budget = self.budgets[key]
        if budget.version is None or budget.spectrum_target is None:
            return -1
        job = SpectrumJob(*budget.spectrum_target[:2])
        wanted = expect(self._locks[key, budget.version.number][-1])
        total = 0
        for line in self._ever_sent.get((key, job), set()):
            held = self.spectrum.jobs[job].get(line) or HeldLine()
            original, revision, _ = wanted.get(line, (0, 0, None))
            total += abs(held.original - original) + abs(held.booked_by_bridge - revision)
            if line in wanted:
                total += abs(held.current - held.original - sum(held.revisions.values()))
        return total


def play_with_readings(chance: random.Random, steps: int, *, meddled: bool) -> Counter[str]:
    """Play one history in which Spectrum is read; returns what was counted."""
    return play_world(ReadingWorld(chance, steps, meddled=meddled))
