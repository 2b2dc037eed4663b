"""A world in which budgets are imported from Spectrum, beside everything else: the laws of imports.

LI1 what is exported as it was imported changes nothing in Spectrum. LI2 what is offered and what is skipped add up to
what Spectrum holds. LI3 from the first export until a reset nothing is offered. LI4 no line is ever set to zero that
was neither exported nor adopted. LI5 the order of pages, and repeats, do not matter.
"""

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal

from contracts.budget_key import BudgetKey
from contracts.erp_snapshot import ErpSnapshot
from contracts.fields import write_time
from contracts.imports import ImportApplied, ImportEnded, ImportReady, ImportRequested
from contracts.inbound import ApprovalDecision, BudgetReset, DeadlinePassed, InboundMessage
from contracts.outbound import SpectrumExport
from demo.spectrum import HeldLine, LineKey, SpectrumJob
from demo.spectrum_snapshot import Reader
from handlers.budget import Status
from handlers.decision import Outcome
from handlers.ids import name_request
from handlers.rules import Phase
from tests.laws.world import KINDS, PHASES, PROJECT, USERS, World, play_world, read_cents, require

Figures = dict[LineKey, tuple[int, int, int]]
"""Original, revision of the bridge, and revisions of others."""


@dataclass
class ImportWorld(World):
    """One history in which Spectrum has figures before any export, and people import them."""

    _reads: int = 0
    _read: dict[str, set[LineKey]] = field(default_factory=dict)
    """What each snapshot had to take."""
    _offered: dict[BudgetKey, ImportReady] = field(default_factory=dict)
    _adopted: dict[tuple[BudgetKey, SpectrumJob], set[LineKey]] = field(default_factory=dict)
    """Every line that was ever adopted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        unmapped: Literal["refuse", "offer"] = self.chance.choice(["refuse", "offer"])
        self.rules = replace(self.rules, every=None, after_success=False, unmapped=unmapped)
        if self.chance.random() < 0.2:
            self.rules = replace(self.rules, phases={phase: Phase(phase, None) for phase in PHASES[1:]})
        for job in self.spectrum.jobs:
            self._estimate(job)

    def _estimate(self, job: SpectrumJob) -> None:
        """Somebody in accounting sets up originals, and names the phases."""
        for phase in PHASES:
            name = self.chance.choice([f"{phase} works", f"{phase} works", "", "x" * 40])
            self.spectrum.descriptions.setdefault((job, phase), name)
            for kind in KINDS:
                held = self.spectrum.jobs[job].setdefault(LineKey(phase, kind), HeldLine())
                held.original = self.chance.choice([0, 0, 1000, 2055])

    def play(self) -> None:
        """Play the history with imports in between; then import once more, and export exactly that."""
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
                self._type_over,
                self._ask_for_import,
                self._answer_request,
                self._answer_offer,
                self._reset,
            ]
            self.chance.choices(actions, [4, 8, 4, 3, 40, 20, 1, 1, 9, 9, 9, 2])[0]()
        self.drain()
        self._go_round(next(iter(self.budgets)))

    def _ask_for_import(self) -> None:
        key, _ = self._pick()
        self._post(self._write_request(key, self.chance.choice(USERS), self.chance.choice(["take", "take", "link"])))

    def _write_request(self, key: BudgetKey, by: str, mode: str) -> ImportRequested:
        unlocked, currency = self.chance.random() < 0.9, self.chance.choice(["USD", "USD", "USD", "CAD"])
        data = {"requested_by": by, "requested_at": self.now, "mode": mode}
        return ImportRequested.model_validate(
            key._asdict() | data | {"budget_unlocked": unlocked, "currency": currency}
        )

    def _answer_request(self) -> None:
        """The ERP side reads the job for an import, its pages in any order and some twice; or time passes."""
        key, budget = self._pick()
        asked, one = budget.open_request, budget.open_import
        if one and self.chance.random() < 0.1:
            self._post(DeadlinePassed(**key._asdict(), deadline="import", due_at=one.due_at))
        if asked is None:
            return
        if self.chance.random() < 0.2:
            self._post(DeadlinePassed(**key._asdict(), deadline="snapshot", due_at=asked.due_at))
        for page in self._read_job(key, str(asked.id)):
            for _ in range(self.chance.choice([1, 1, 2])):
                self._post(page)

    def _read_job(self, key: BudgetKey, request_id: str) -> list[ErpSnapshot]:
        job = SpectrumJob(*(self.budgets[key].spectrum_target or self.rules.jobs[PROJECT])[:2])
        if self._working and self._working[0].job == job:
            return []
        self._reads += 1
        at = write_time(self.now + timedelta(microseconds=self._reads))
        reader = Reader(pads_keys=True, page_lines=self.chance.choice([2, 3, 100]))
        pages = reader.read(self.spectrum, key, job, f"s{self._reads}", at, request_id)
        lines = self.spectrum.jobs[job].items()
        self._read[f"s{self._reads}"] = {line for line, held in lines if held.original or held.booked_by_bridge}
        self.chance.shuffle(pages)
        return [ErpSnapshot.model_validate(page) for page in pages]

    def _answer_offer(self) -> None:
        key, budget = self._pick()
        one, offer = budget.open_import, self._offered.get(key)
        if one is None or offer is None:
            return
        status = self.chance.choice(["whole", "whole", "partial", "abandoned"])
        told = [self._tell(line.phase_code, line.spectrum_cost_type) for line in offer.lines]
        chosen = [line for line in told if self.chance.random() < 0.6]
        self._post(self._write_answer(key, offer, status, told if status == "whole" else chosen))

    def _tell(self, phase: str, kind: str) -> dict[str, Any]:
        codes = {"phase_code": phase, "spectrum_cost_type": kind, "budget_line_item_id": self.chance.choice([None, 7])}
        return codes | {"status": self.chance.choice(["success", "success", "success", "failed"])}

    def _write_answer(
        self, key: BudgetKey, offer: ImportReady, status: str, lines: list[dict[str, Any]]
    ) -> ImportApplied:
        data = {"import_id": offer.import_id, "applied_by": "mia", "applied_at": self.now}
        return ImportApplied.model_validate(key._asdict() | data | {"status": status, "lines": lines})

    def _reset(self) -> None:
        key, budget = self._pick()
        if budget.version:
            fields = {**key._asdict(), "budget_version": budget.version.number}
            self._post(BudgetReset(**fields, requested_by="olga", reason="checked in Spectrum"))

    def deliver(self, message_id: str, body: InboundMessage, first: str = "") -> Outcome | None:
        """Decide one message, and note what is offered and what is adopted."""
        outcome = super().deliver(message_id, body, first)
        for send in outcome.step.sends if outcome else ():
            if isinstance(send, ImportReady):
                self._take_offer(send)
            elif isinstance(send, ImportEnded):
                self.counts[f"imports {send.cause}"] += 1
                self._note_adopted(body, send)
        return outcome

    def _take_offer(self, offer: ImportReady) -> None:
        budget = self.budgets[offer.key]
        require("LI3: nothing is offered after an export", holds=len(budget.tries) == budget.tries_before_reset)
        offered = sum(read_cents(line.original_amount) for line in offer.lines)
        reading = budget.readings.last if budget.readings else None
        held = sum(line.original or 0 for page in reading.pages for line in page.lines) if reading else -1
        totals = (read_cents(offer.total_import), read_cents(offer.total_spectrum))
        require(f"LI2: {offered} of {held} are offered, not {totals}", holds=totals == (offered, held) == (held, held))
        keys = {LineKey(line.phase_code, line.spectrum_cost_type) for line in offer.lines if line.change != "gone"}
        names = {read.header.snapshot_id for read in [reading] if read}
        require("LI5: every line that has something is offered", holds=all(self._read[name] == keys for name in names))
        self._offered[offer.key] = offer

    def _note_adopted(self, body: InboundMessage, ended: ImportEnded) -> None:
        """Note what was adopted, by the messages alone."""
        if ended.cause not in {"applied", "partial"}:
            return
        if isinstance(body, ErpSnapshot):
            job, taken = SpectrumJob(body.company_code, body.job_number), self._read[body.snapshot_id]
        elif isinstance(body, ImportApplied):
            offer = self._offered[ended.key]
            job = SpectrumJob(offer.company_code, offer.job_number)
            taken = {LineKey(line.phase_code, line.spectrum_cost_type) for line in offer.lines}
            if ended.cause == "partial":
                taken = {
                    LineKey(line.phase_code, line.spectrum_cost_type) for line in body.lines if line.status == "success"
                }
        else:
            return
        self._adopted.setdefault((ended.key, job), set()).update(taken)

    def _take_export(self, key: BudgetKey, export: SpectrumExport) -> None:
        job = SpectrumJob(export.company_code, export.job_number)
        rows = export.model_dump(mode="json")["lines"]
        zeros = {LineKey(row["phase_code"], row["cost_type"]) for row in rows if row["change"] == "zero"}
        known = self._ever_sent.get((key, job), set()) | self._adopted.get((key, job), set())
        require(f"LI4: {zeros - known} are set to zero", holds=zeros <= known)
        self.counts["exports after an import"] += export.base_import_id is not None
        super()._take_export(key, export)

    def _go_round(self, key: BudgetKey) -> None:
        """LI1: reset, import, and export exactly that."""
        for other, budget in self.budgets.items():
            if budget.claims_job:
                self._release_job(other)
        self.rules = replace(self.rules, phases={phase: Phase(phase, None) for phase in PHASES})
        job = SpectrumJob(*self.rules.jobs[PROJECT][:2])
        self._estimate(job)
        for held in self.spectrum.jobs[job].values():
            held.type_over(held.total)
            if held.original and self.chance.random() < 0.3:
                held.revisions["B0000000"] = 25
        before = self._list_figures(job)
        self.now += timedelta(days=2)
        self._deliver_and_settle(self._write_request(key, "ann", "take").model_copy(update={"budget_unlocked": True}))
        asked, one = self.budgets[key].open_request, self.budgets[key].open_import
        if asked is None or one is None:
            require("LI1: an import can be asked for", holds=False)
            return
        require("LI1: a new import has a new id", holds=asked.id == name_request(key, one.first_request))
        self._offered.pop(key, None)
        for page in self._read_job(key, str(asked.id)):
            self._deliver_and_settle(page)
            self._deliver_and_settle(page)
        offer = self._offered.get(key)
        if offer is None:
            require("LI1: what has figures is offered", holds=not any(line[0] or line[1] for line in before.values()))
            return
        self._deliver_and_settle(self._write_answer(key, offer, "whole", []))
        self._export_as_offered(key, offer)
        require(f"LI1: {before} became {self._list_figures(job)}", holds=self._list_figures(job) == before)
        is_sum = all(held.current == held.total for held in self.spectrum.jobs[job].values())
        require("LI1: current is the sum", holds=is_sum)
        self.counts["round trips"] += 1

    def _export_as_offered(self, key: BudgetKey, offer: ImportReady) -> None:
        version = max((number for owner, number in self._locks if owner == key), default=0) + 50
        lines = [
            {
                "budget_line_item_id": number,
                "cost_code": line.cost_code,
                "cost_type": line.cost_type,
                "description": line.description if 0 < len(line.description) < 25 else "Named",
                "original_amount": line.original_amount,
                "revision_amount": line.revision_amount,
            }
            for number, line in enumerate(offer.lines)
            if line.change != "gone"
        ]
        lock = self._write_lock(key, version, lines, "sam").model_copy(update={"currency": offer.currency})
        self._locks[key, version][-1] = lock
        self._deliver_and_settle(lock)
        current = self.budgets[key].version
        found = current.content_hash if current else None
        data = {"decision": "accept", "decided_by": "ann", "decided_at": self.now, "content_hash": found}
        decision = ApprovalDecision.model_validate({**key._asdict(), "budget_version": version} | data)
        self._note_acceptance(decision)
        self._deliver_and_settle(decision)
        self._finish_export(key)
        require("LI1: it is synced", holds=self.budgets[key].status is Status.SYNCED)

    def _list_figures(self, job: SpectrumJob) -> Figures:
        return {
            key: (held.original, held.booked_by_bridge, sum(held.revisions.values()) - held.booked_by_bridge)
            for key, held in self.spectrum.jobs[job].items()
        }


def play_with_imports(chance: random.Random, steps: int) -> Counter[str]:
    """Play one history in which budgets are imported; returns what was counted."""
    return play_world(ImportWorld(chance, steps))
