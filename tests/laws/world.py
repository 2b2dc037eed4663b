"""A random world around the core: people, delays, duplicates, and an ERP side as nasty as its rules allow.

One history is one seed. What must hold at every step is checked at every step; ``LawBrokenError`` names the law.
"""

import random
import unicodedata
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.drift import DriftDecision
from contracts.fields import write_time
from contracts.inbound import (
    ApprovalDecision,
    BudgetLocked,
    BudgetReset,
    BudgetRetrieved,
    DeadlinePassed,
    ErpAcknowledgement,
    ExportRetry,
    InboundMessage,
    SnapshotRequest,
)
from contracts.outbound import BudgetStatus, SpectrumExport
from demo.spectrum import (
    ApplyResult,
    HeldLine,
    LineKey,
    LineRefusal,
    ReceivedExport,
    Spectrum,
    SpectrumJob,
    finish,
)
from demo.spectrum_messages import read_export, write_acknowledgement
from handlers.budget import Budget, Status
from handlers.budget_locked import digest_content
from handlers.decide import decide
from handlers.decision import DeadLetter, Outcome, Situation
from handlers.rules import CostType, Phase, Rules
from handlers.rules import Job as RulesJob
from handlers.validation.check import Valid, check_budget
from handlers.validation.columns import read_columns

PROJECT: Final = (4211, 90071)
PHASES: Final = ("P1", "P2", "P3")
KINDS: Final = ("L", "M")
USERS: Final = ("ann", "ANN ", "Jos\u00e9", "jose\u0301", "nobody")
"""Two approvers, each written in two ways, and somebody else."""
APPROVERS: Final = frozenset({"ann", "jos\u00e9"})
BEGIN: Final = datetime(2026, 11, 24, 8, tzinfo=UTC)
OTHERS_BOOKING: Final = 4200
TYPED: Final = "typed by accounting"

Expected = dict[LineKey, tuple[int, int, str]]


class LawBrokenError(AssertionError):
    """One of the six laws does not hold."""


def require(what: str, *, holds: bool) -> None:
    """Check a law."""
    if not holds:
        raise LawBrokenError(what)


@dataclass
class Inflight:
    """An export on its way: what was sent, and whether it has been answered."""

    version: int
    attempt: int
    answered: bool = False


@dataclass
class World:
    """One history in the making."""

    chance: random.Random
    steps: int
    now: datetime = BEGIN
    rules: Rules = field(init=False)
    budgets: dict[BudgetKey, Budget] = field(default_factory=dict)
    spectrum: Spectrum = field(default_factory=Spectrum)
    counts: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    """Identities: the type belongs to them, so a message of another type does not swallow one."""
    _mail: list[tuple[str, InboundMessage, str]] = field(default_factory=list)
    _delivered: list[tuple[InboundMessage, str]] = field(default_factory=list)
    _orders: dict[BudgetKey, list[ReceivedExport]] = field(default_factory=dict)
    _working: tuple[ReceivedExport, Generator[LineKey, None, ApplyResult]] | None = None
    _void: dict[BudgetKey, int] = field(default_factory=dict)
    _locks: dict[tuple[BudgetKey, int], list[BudgetLocked]] = field(default_factory=dict)
    """Every content that a version was locked with: more than one only after a reset."""
    _accepted: dict[tuple[BudgetKey, int, str | None], set[str]] = field(default_factory=dict)
    """Who accepted a content, each as one person however the name is written."""
    _resets: Counter[BudgetKey] = field(default_factory=Counter)
    _inflight: dict[BudgetKey, Inflight] = field(default_factory=dict)
    _exports: dict[tuple[BudgetKey, int, int, int], str] = field(default_factory=dict)
    _references: dict[str, str] = field(default_factory=dict)
    """The export that has each change reference."""
    _sequence: dict[BudgetKey, int] = field(default_factory=dict)
    _ever_sent: dict[tuple[BudgetKey, SpectrumJob], set[LineKey]] = field(default_factory=dict)
    _ids: int = 0

    def __post_init__(self) -> None:
        self.rules = Rules(
            jobs={PROJECT: RulesJob("001", "J1")},
            phases={phase: Phase(phase, None) for phase in PHASES},
            cost_types={kind: CostType(kind, "T") for kind in KINDS},
            approvers={PROJECT: APPROVERS},
            removed_lines=self.chance.choice(["zero", "zero", "block"]),
            parked_limit=3,
        )
        count = self.chance.choice([1, 1, 2])
        self.budgets = {key: Budget(key) for key in (BudgetKey(*PROJECT, number) for number in range(1, count + 1))}
        # Somebody else's change requests, which must survive everything.
        for number in ("J1", "J2"):
            job = self.spectrum.jobs.setdefault(SpectrumJob("001", number), {})
            if self.chance.random() < 0.5:
                order_line = LineKey("P1", "L")
                job[order_line] = HeldLine(revisions={"CR-77": OTHERS_BOOKING})

    # What people and machines do

    def play(self) -> None:
        """Play the history, then check that every budget can still be synced."""
        for _ in range(self.steps):
            self.now += timedelta(seconds=self.chance.choice([0, 1, 60, 4000]))
            self.chance.choices(
                [
                    self._lock,
                    self._decide,
                    self._retrieve,
                    self._command,
                    self._deliver,
                    self._work_erp,
                    self._change,
                    self._type_over,
                ],
                [10, 12, 2, 3, 34, 30, 1, 1],
            )[0]()
        self.drain()

    def _pick(self) -> tuple[BudgetKey, Budget]:
        key = self.chance.choice(list(self.budgets))
        return key, self.budgets[key]

    def _post(self, body: InboundMessage, message_id: str | None = None, first: str = "") -> None:
        if self._mail and self._mail[-1][1].type != body.type and self.chance.random() < 0.03:
            # A sender that gives messages of two types the same id.
            message_id = self._mail[-1][0]
            self.counts["ids that another type has used"] += 1
        self._ids += 1
        self._note_acceptance(body)
        self._mail.append((message_id or f"m{self._ids}", body, first))

    def _note_acceptance(self, body: InboundMessage) -> None:
        if isinstance(body, ApprovalDecision) and body.decision == "accept":
            accepted = self._accepted.setdefault((body.key, body.budget_version, body.content_hash), set())
            accepted.add(name_person(body.decided_by))

    def _lock(self) -> None:
        key, budget = self._pick()
        known = [number for (owner, number) in self._locks if owner == key]
        newest = max(known, default=0)
        version = newest + self.chance.choice([1, 1, 1, 2])
        if known and budget.version_forgotten and self.chance.random() < 0.5:
            version = self.chance.choice(known)
            self.counts["versions locked again after a reset"] += 1
        elif known and self.chance.random() < 0.2:
            self._post(self.chance.choice(self._locks[key, self.chance.choice(known)]))
            return
        before = self._locks[key, newest][-1] if known else None
        sender = self.chance.choice(["sam", "sam", "sam", "sam", "jose\u0301", "jose\u0301", None])
        self._post(self._write_lock(key, version, self._draw_lines(before), sender))

    def _draw_lines(self, before: BudgetLocked | None) -> list[dict[str, Any]]:
        if before and self.chance.random() < 0.15:
            same: list[dict[str, Any]] = before.model_dump(mode="json")["lines"]
            return same
        keys = [LineKey(phase, kind) for phase in PHASES for kind in KINDS]
        chosen = self.chance.sample(keys, self.chance.randint(1, len(keys)))
        names = {phase: self._draw_name(phase) for phase in PHASES}
        return [
            {
                "budget_line_item_id": self.chance.choice([number, number + 100]),
                "cost_code": key.phase_code if self.chance.random() < 0.99 else "unmapped",
                "cost_type": key.cost_type,
                **self._draw_codes(key),
                "description": names[key.phase_code],
                "original_amount": self.chance.choice(["0.00", "10.00", "20.55", "-3.10"]),
                "revision_amount": self.chance.choice(["0", "0", "5.25", "-1.00"]),
            }
            for number, key in enumerate(chosen)
        ]

    def _draw_codes(self, key: LineKey) -> dict[str, str]:
        """Sometimes the line carries Spectrum's own codes, as Spectrum pads them."""
        codes = {"phase_code": f"{key.phase_code} ", "spectrum_cost_type": key.cost_type}
        return codes if self.chance.random() < 0.1 else {}

    def _draw_name(self, phase: str) -> str:
        # One that is blank to a reader must stop the version.
        return self.chance.choices([f"{phase} works", "Other", "\u200b"], [66, 33, 1])[0]

    def _write_lock(
        self, key: BudgetKey, version: int, lines: list[dict[str, Any]], sender: str | None
    ) -> BudgetLocked:
        cents = sum(read_cents(line["original_amount"]) + read_cents(line["revision_amount"]) for line in lines)
        lock = BudgetLocked.model_validate(
            {
                **key._asdict(),
                "budget_version": version,
                "currency": "USD",
                "total_amount": f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}",
                "created_by": "carla",
                "locked_by": "lou",
                "sent_by": sender,
                "locked_at": BEGIN,
                "lines": lines,
            }
        )
        self._locks.setdefault((key, version), []).append(lock)
        return lock

    def _find_hash(self, key: BudgetKey, version: int) -> str | None:
        """Choose the hash that an approver sends: the right one, that of a version to come, none, or a wrong one."""
        if self.chance.random() < 0.15:
            return self.chance.choice([None, "other"])
        current = self.budgets[key].version
        if current and current.number == version:
            return current.content_hash
        locks = self._locks.get((key, version))
        found = self._check(locks[-1]) if locks else None
        return found.content_hash if isinstance(found, Valid) else None

    def _check(self, lock: BudgetLocked) -> object:
        return check_budget(lock, read_columns(lock.lines), Budget(lock.key), Situation(self.now, self.rules))

    def _decide(self) -> None:
        key, budget = self._pick()
        current = budget.version.number if budget.version else 1
        version = self.chance.choice(
            [current, current, current, budget.newest or 1, budget.newest + 1, max(1, current - 1)]
        )
        accepts = self.chance.random() < 0.8
        decision = ApprovalDecision(
            **key._asdict(),
            budget_version=version,
            decision="accept" if accepts else "reject",
            decided_by=self.chance.choice(USERS),
            decided_at=self.now,
            reason=None if accepts else "no",
            content_hash=self._find_hash(key, version) if accepts else None,
            effective_date=self._draw_date(),
        )
        self._post(decision)

    def _draw_date(self) -> date | None:
        return self.chance.choice([None, None, self.now.date()])

    def _retrieve(self) -> None:
        key, budget = self._pick()
        self._post(
            BudgetRetrieved(
                **key._asdict(), budget_version=budget.newest or 1, retrieved_by="mia", retrieved_at=self.now
            )
        )

    def _command(self) -> None:
        key, budget = self._pick()
        version = budget.version.number if budget.version else 1
        fields = {**key._asdict(), "budget_version": version}
        choice = self.chance.random()
        if choice < 0.5:
            given = self._draw_date()
            self._post(ExportRetry(**fields, requested_by="olga", reason="again", effective_date=given))
        elif choice < 0.6:
            self._post(BudgetReset(**fields, requested_by="olga", reason="checked in Spectrum"))
        else:
            kind = self.chance.choice(["acknowledgement", "parked"])
            self._post(DeadlinePassed(**fields, deadline=kind, due_at=self.now))

    def _change(self) -> None:
        self.rules = replace(
            self.rules,
            removed_lines=self.chance.choice(["zero", "block"]),
            jobs={PROJECT: RulesJob("001", self.chance.choice(["J1", "J1", "J2"]), self.chance.choice([1, 1, 1, 50]))},
            quantities=self.chance.random() < 0.3,
        )

    def _type_over(self) -> None:
        """Accounting types over the description of a phase in Spectrum."""
        if self.spectrum.descriptions:
            phase = self.chance.choice(list(self.spectrum.descriptions))
            self.spectrum.descriptions[phase] = TYPED

    def _deliver(self) -> None:
        """Deliver any message that is on its way: order means nothing."""
        if not self._mail:
            return
        message_id, body, first = self._mail.pop(self.chance.randrange(len(self._mail)))
        self.deliver(message_id, body, first)
        if self.chance.random() < 0.1:
            self._mail.append((message_id, body, first))  # the same again
        if self.chance.random() < 0.1 and self._delivered:
            body, verdict = self.chance.choice(self._delivered[-20:])
            self._post(body, first=verdict)  # sent again under another id

    # The bridge

    def deliver(self, message_id: str, body: InboundMessage, first: str = "") -> Outcome | None:
        """Decide one message, as the lane does, and check the result."""
        self.counts["messages"] += 1
        if (body.type, message_id) in self._seen:
            self.counts["verdict duplicate (same id)"] += 1
            return None
        self._seen.add((body.type, message_id))
        key = BudgetKey(body.company_id, body.project_id, body.budget_id)
        others = [other for other, budget in self.budgets.items() if other != key and budget.claims_job]
        require("one budget of a project claims its job", holds=len(others) <= 1)
        taken_by = others[0].budget_id if others else None
        before = self.budgets[key]
        last = max(budget.last_reference for budget in self.budgets.values())
        situation = Situation(self.now, self.rules, taken_by, last_reference=last)
        outcome = decide(before, self._write_message(message_id, body), situation)
        self.budgets[key] = outcome.step.budget
        self.counts[f"verdict {outcome.verdict.value}"] += 1
        self.log.append(f"{message_id} {body.type} {body.budget_id} v{body.version} -> {outcome.verdict.value}")
        if isinstance(body, BudgetReset) and outcome.verdict.value == "applied":
            self._do_operators_duty(key, before)
        if isinstance(body, ErpAcknowledgement):
            self._record_answer(key, body)
        exported = [send for send in outcome.step.sends if isinstance(send, SpectrumExport)]
        if first == "exported" or (first and not isinstance(body, ApprovalDecision)):
            require("law 2: what is sent again exports nothing", holds=not exported or isinstance(body, ExportRetry))
        for send in outcome.step.sends:
            if isinstance(send, SpectrumExport):
                self._take_export(key, send)
            elif isinstance(send, BudgetStatus):
                require("statuses have no gap", holds=send.sequence == self._sequence.get(key, 0) + 1)
                self._sequence[key] = send.sequence
            elif isinstance(send, DeadLetter):
                self.counts["dead letters"] += 1
        if not isinstance(body, BudgetReset | ExportRetry | DeadlinePassed | DriftDecision | SnapshotRequest):
            self._delivered.append((body, "exported" if exported else outcome.verdict.value))
        self.check()
        return outcome

    def _write_message(self, message_id: str, body: InboundMessage) -> Message:
        return Message("law", message_id, body, ())

    def _take_export(self, key: BudgetKey, export: SpectrumExport) -> None:
        self.counts["resyncs" if export.type == "spectrum.resync.v1" else "exports"] += 1
        self.counts["exports sent again"] += export.attempt > 1
        inflight = self._inflight.get(key)
        if inflight and inflight.version != export.budget_version:
            require("law 1: one export of a budget in flight", holds=inflight.answered)
        self._inflight[key] = Inflight(export.budget_version, export.attempt)
        if not export.restatement:
            self._check_acceptance(key, export)
        self._check_content(key, export)
        order = read_export(export.model_dump(mode="json"))
        self._orders.setdefault(key, []).append(order)
        self._ever_sent.setdefault((key, order.job), set()).update(line.key for line in order.lines)

    def _check_acceptance(self, key: BudgetKey, export: SpectrumExport) -> None:
        acceptors = self._accepted.get((key, export.budget_version, export.content_hash), set())
        require("what is exported was accepted by its hash", holds=bool(acceptors))
        # After a reset the same version may have been locked by others.
        others = [
            acceptors & APPROVERS - {name_person(lock.sent_by), name_person(lock.locked_by or "")}
            for lock in self._locks[key, export.budget_version]
            if lock.sent_by
        ]
        require("what is exported was accepted by an approver who did not send it", holds=any(others))

    def _check_content(self, key: BudgetKey, export: SpectrumExport) -> None:
        rows = export.model_dump(mode="json")["lines"]
        shown = all(row["description"] is None or row["description"].strip("\u200b ") for row in rows)
        require("no line that is exported has a description that nobody can see", holds=shown)
        changes = {"attempt": 0, "effective_date": None}
        if export.approval:
            # Who accepts a failed export again takes the place of whoever did before.
            changes |= {"approval": None, "approved_by": None, "approved_at": None}
        content = repr(export.model_copy(update=changes))
        version = (key, export.budget_version, self._resets[key], export.restatement)
        same = self._exports.setdefault(version, content) == content
        require("law 1: never two different exports for one version", holds=same)
        owner = self._references.setdefault(export.change_reference, str(export.export_id))
        require("law 6: no change reference of a project for two exports", holds=owner == str(export.export_id))

    def _record_answer(self, key: BudgetKey, answer: ErpAcknowledgement) -> None:
        inflight = self._inflight.get(key)
        if inflight and inflight.version == answer.budget_version:
            last = answer.status in {"partial", "failed"} and answer.attempt == inflight.attempt
            inflight.answered |= answer.status == "success" or last

    def _do_operators_duty(self, key: BudgetKey, before: Budget) -> None:
        """The ERP side applies nothing more of this budget's earlier exports, and what it holds is cleared."""
        self._resets[key] += 1
        # After a reset a version can be sent again, so a repeat from before it counts as a message of its own.
        self._delivered = [(body, verdict) for body, verdict in self._delivered if body.key != key]
        self._mail = [(name, body, "" if body.key == key else first) for name, body, first in self._mail]
        self._void[key] = len(before.tries)
        self._inflight.pop(key, None)
        if self._working and self._working[0].budget == key:
            self._working = None
        for (owner, job), keys in self._ever_sent.items():
            if owner != key:
                continue
            for line in keys:
                if held := self.spectrum.jobs.get(job, {}).get(line):
                    held.original = 0
                    for reference in [name for name in held.revisions if name.startswith("B")]:
                        del held.revisions[reference]

    # The ERP side

    def _work_erp(self) -> None:
        """Continue an export, break it off, begin another, or answer: late, partial, repeated, out of order."""
        if self._working is None:
            self._begin_work()
            return
        order, steps = self._working
        if self.chance.random() < 0.15:
            self.counts["ERP runs broken off"] += 1
            self._working = None
            if self.chance.random() < 0.7:
                self._orders[BudgetKey(*order.budget)].insert(0, order)  # run again by hand
            elif self.chance.random() < 0.8:
                self._answer(order, ApplyResult("failed"))  # a statement, not a proof
            return
        self.spectrum.refusals = (
            {self.chance.choice(order.lines).key: LineRefusal("E", "closed", "Cost_Type")}
            if self.chance.random() < 0.15
            else {}
        )
        try:
            for _ in range(self.chance.randint(1, 4)):
                next(steps)
        except StopIteration as ended:
            self._working = None
            self._answer(order, ended.value)

    def _begin_work(self) -> None:
        waiting = [key for key, orders in self._orders.items() if orders]
        if not waiting:
            return
        key = self.chance.choice(waiting)
        order = self._orders[key].pop(0)
        if order.number <= self._void.get(key, 0):
            self._answer(order, ApplyResult("failed"))
            return
        self._working = order, self.spectrum.apply(order)
        if self.chance.random() < 0.2:
            self._answer(order, ApplyResult("in_progress"))

    def _answer(self, order: ReceivedExport, answer: ApplyResult) -> None:
        self.counts[f"ERP {answer.status}"] += 1
        data = write_acknowledgement(order, answer, write_time(self.now))
        if answer.status == "in_progress":
            data["lines"] = []
        body = ErpAcknowledgement.model_validate(data)
        for _ in range(self.chance.choice([1, 1, 1, 2])):
            self._post(body)
        if answer.status != "in_progress" and self.chance.random() < 0.1:
            key = BudgetKey(*order.budget)
            self._orders[key].insert(0, order)  # somebody runs it once more

    # What must hold

    def check(self) -> None:
        """Law 4, at every moment: Spectrum holds what is SYNCED, to the cent."""
        for key, budget in self.budgets.items():
            if budget.status is Status.SYNCED and budget.version and budget.spectrum_target:
                self.counts["synced moments checked"] += 1
                job = SpectrumJob(*budget.spectrum_target[:2])
                locks, digest = self._locks[key, budget.version.number], budget.version.digest
                self._compare(
                    key,
                    job,
                    expect(next(lock for lock in locks if digest_content(lock, read_columns(lock.lines)) == digest)),
                )
        for lines in self.spectrum.jobs.values():
            for held in lines.values():
                others = {name: amount for name, amount in held.revisions.items() if not name.startswith("B")}
                require("what others booked stays", holds=others in ({}, {"CR-77": OTHERS_BOOKING}))

    def _compare(self, key: BudgetKey, job: SpectrumJob, wanted: Expected) -> None:
        for line in (self._ever_sent.get((key, job), set()) | set(wanted)) - self.list_kept(key):
            held = self.spectrum.jobs.get(job, {}).get(line)
            original, revision, description = wanted.get(line, (0, 0, None))
            holds_now = (held.original, held.booked_by_bridge) if held else (0, 0)
            require(
                f"law 4: {key} {line} holds {holds_now}, not {(original, revision)}",
                holds=holds_now == (original, revision),
            )
            if held and description is not None:
                called = self.spectrum.descriptions.get((job, line.phase_code))
                require(f"law 4: {key} {line} is called {called}", holds=called in {description, TYPED})

    def list_kept(self, _key: BudgetKey) -> set[LineKey]:
        """List the lines in which an approver has kept what Spectrum was found to hold instead."""
        return set()

    # Laws 3 and 5

    def drain(self) -> None:
        """Deliver everything; then, from wherever that leads, find the way to SYNCED, and check Spectrum."""
        self.rules = replace(self.rules, jobs={PROJECT: RulesJob("001", "J1")}, removed_lines="zero")
        while self._mail or self._working or any(self._orders.values()):
            self._settle()
        for key in self.budgets:
            for other, budget in self.budgets.items():
                if other != key and budget.claims_job:
                    self._release_job(other)
            self._sync(key)

    def _settle(self) -> None:
        while self._mail:
            message_id, body, first = self._mail.pop(0)
            self.deliver(message_id, body, first)
        self.spectrum.refusals = {}
        if self._working:
            order, steps = self._working
            self._working = None
            self._answer(order, finish(steps))
            return
        for key, orders in self._orders.items():
            if orders:
                order = orders.pop(0)
                void = order.number <= self._void.get(key, 0)
                self._answer(order, ApplyResult("failed") if void else finish(self.spectrum.apply(order)))
                return

    def _settle_all(self) -> None:
        while self._mail or self._working or any(self._orders.values()):
            self._settle()

    def _deliver_and_settle(self, body: InboundMessage) -> None:
        self._ids += 1
        self.deliver(f"d{self._ids}", body)
        self._settle_all()

    def _finish_export(self, key: BudgetKey) -> None:
        """Bring a budget out of EXPORTING: overdue, then retried until Spectrum takes it."""
        for _ in range(5):
            budget = self.budgets[key]
            if budget.status is not Status.EXPORTING or budget.version is None:
                return
            fields = {**key._asdict(), "budget_version": budget.version.number}
            self._deliver_and_settle(
                DeadlinePassed(**fields, deadline="acknowledgement", due_at=self.now + timedelta(days=9))
            )
            self._deliver_and_settle(ExportRetry(**fields, requested_by="olga", reason="no answer"))
        require("law 5: an export ends", holds=False)

    def _release_job(self, key: BudgetKey) -> None:
        self._finish_export(key)
        version = self.budgets[key].version
        require("a budget that claims a job has a version", holds=version is not None)
        if version:
            fields = {**key._asdict(), "budget_version": version.number}
            self._deliver_and_settle(BudgetReset(**fields, requested_by="olga", reason="checked in Spectrum"))
        require("a reset releases the job", holds=not self.budgets[key].claims_job)

    def _sync(self, key: BudgetKey) -> None:
        self._finish_export(key)
        budget = self.budgets[key]
        held = budget.spectrum_target
        if held and held[:2] != self.rules.jobs[PROJECT][:2]:
            self._release_job(key)
        version = (
            max((number for owner, number in self._locks if owner == key), default=0) + 50
        )  # for which nothing is parked
        line = {
            "budget_line_item_id": 1,
            "cost_code": "P2",
            "cost_type": "M",
            "description": "Last",
            "original_amount": "77.77",
            "revision_amount": "0.01",
        }
        self._deliver_and_settle(self._write_lock(key, version, [line], "sam"))
        current = self.budgets[key].version
        decision = ApprovalDecision(
            **key._asdict(),
            budget_version=version,
            decision="accept",
            decided_by="ann",
            decided_at=self.now,
            content_hash=current.content_hash if current else None,
        )
        self._note_acceptance(decision)
        self._deliver_and_settle(decision)
        self._finish_export(key)
        budget = self.budgets[key]
        reached = budget.status is Status.SYNCED and budget.synced_version == version
        require(f"laws 3 and 5: {key} is SYNCED at {version}, not {budget.status}", holds=reached)
        self.check()


def expect(lock: BudgetLocked) -> Expected:
    """Return what Spectrum must hold of a lock, by a simple mapping that is independent of the core's."""
    return {
        LineKey(line["phase_code"] or line["cost_code"], line["spectrum_cost_type"] or line["cost_type"]): (
            read_cents(line["original_amount"]),
            read_cents(line["revision_amount"]),
            line["description"],
        )
        for line in lock.model_dump()["lines"]
    }


def name_person(user: str) -> str:
    """Name who is meant, by a simple folding that is independent of the core's."""
    return unicodedata.normalize("NFC", user).strip().lower()


def read_cents(amount: str) -> int:
    """Read an amount of the model, in any of its forms, in cents."""
    whole, _, part = amount.lstrip("-").partition(".")
    cents = int(whole) * 100 + int(part.ljust(2, "0") or "0")
    return -cents if amount.startswith("-") else cents


def play(chance: random.Random, steps: int) -> Counter[str]:
    """Play one history; raises ``LawBrokenError`` with its last messages. Returns what was counted."""
    return play_world(World(chance, steps))


def play_world(world: World) -> Counter[str]:
    """Play the history of a world; raises ``LawBrokenError`` with its last messages. Returns what was counted."""
    try:
        world.play()
    except LawBrokenError as broken:
        tail = "\n  ".join(world.log[-25:])
        raise LawBrokenError(f"{broken}\n  {tail}") from broken
    world.counts["histories"] += 1
    return world.counts
