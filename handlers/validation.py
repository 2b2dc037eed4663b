"""Everything that is checked before an approver sees a budget; all errors are found at once.

What passes comes out as the lines that Spectrum would hold. Limits are those of Spectrum's phase record,
which cuts what is too long without a word: so nothing too long is ever sent.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from operator import attrgetter
from typing import Final

from contracts.inbound import BudgetLine, BudgetLocked
from contracts.outbound import BudgetError, Notice
from handlers.budget import Budget, Export, Proposal, SpectrumLine, Target
from handlers.decision import Situation
from handlers.rules import Job, Rules
from handlers.spectrum_lines import hash_content, index_held

MAX_LINES: Final = 2000
MAX_DESCRIPTION: Final = 25
MAX_UNIT: Final = 3
MAX_ORIGINAL: Final = Decimal("99999999.99")
MAX_REVISION: Final = Decimal("9999999999.99")
MAX_QUANTITY: Final = Decimal("9999999.99")

# Amounts come in with any number of digits; the usual context would round at 28.
EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CENT: Final = Decimal("0.01")
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Valid:
    """A version that passed: what an approver is asked to accept, and what he should know."""

    proposal: Proposal
    content_hash: str
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class _Mapping:
    """The lines as far as they could be mapped, where they fall, and what is wrong with the others."""

    lines: tuple[SpectrumLine, ...]
    targets: frozenset[tuple[str, str]]
    errors: tuple[BudgetError, ...]
    notices: tuple[Notice, ...]


def check_budget(lock: BudgetLocked, budget: Budget, situation: Situation) -> Valid | tuple[BudgetError, ...]:
    """Check a version that is taken up: either it is valid as a whole, or everything wrong with it is told."""
    rules = situation.rules
    job = rules.jobs.get((lock.company_id, lock.project_id))
    # Beyond the limit the one error is enough: a report on each further line could outgrow a message.
    mapping = _map_lines(lock.lines[:MAX_LINES], rules)
    errors = (
        *_check_whole(lock),
        *_check_job(job, lock, budget, situation.job_taken_by),
        *mapping.errors,
        *find_removed(mapping.targets, budget.base, rules),
    )
    if errors or job is None:
        return errors
    target = Target(*job, lock.currency)
    total = sum(line.original + line.revision for line in mapping.lines)
    return Valid(Proposal(target, total, mapping.lines), hash_content(target, mapping.lines), mapping.notices)


def check_acceptance(budget: Budget, proposal: Proposal, rules: Rules) -> tuple[BudgetError, ...]:
    """Check at the moment of acceptance what may have changed since: the job, and the base."""
    errors: list[BudgetError] = []
    job = rules.jobs.get(budget.key[:2])
    if job != proposal.target[:2]:
        now = f"to job {job.job_number} of company {job.company_code}" if job else "to no job"
        was = f"job {proposal.target.job_number} of company {proposal.target.company_code}"
        way = f"send the budget again, or, if Spectrum holds it there, first use `budget-bridge reset {budget.key}`"
        errors.append(
            _error(None, "job_number", "job_changed", f"It was sent for {was}; the maps now lead {now}: {way}.")
        )
    targets = frozenset(line.key for line in proposal.lines)
    return (*errors, *find_removed(targets, budget.base, rules))


def find_removed(targets: frozenset[tuple[str, str]], base: Export | None, rules: Rules) -> Iterator[BudgetError]:
    """Find, under the policy ``block``, the lines with an amount that the base has and the version lacks."""
    if rules.removed_lines != "block":
        return
    for key, line in index_held(base).items():
        if key not in targets and not line.is_zero:
            message = (
                f"Spectrum holds phase {line.phase_code}, cost type {line.cost_type} with an amount, and this version "
                f"lacks it; keep the line, at 0.00 if nothing is left of it."
            )
            yield _error(line.item_id, "lines", "removed_line", message)


def _check_whole(lock: BudgetLocked) -> Iterator[BudgetError]:
    if not lock.lines:
        yield _error(None, "lines", "no_lines", "The budget has no lines.")
    if len(lock.lines) > MAX_LINES:
        message = f"The budget has {len(lock.lines)} lines; {MAX_LINES} is the most that one budget can carry."
        yield _error(None, "lines", "too_many_lines", message)
    if not _has_two_decimals(lock.total_amount):
        yield _error(None, "total_amount", "too_many_decimals", _say_decimals(lock.total_amount))
    total = Decimal(0)
    for line in lock.lines:
        total = EXACT.add(EXACT.add(total, line.original_amount), line.revision_amount)
    if total != lock.total_amount:
        message = f"The total is {_show(lock.total_amount)}, but the lines add up to {_show(total)}."
        yield _error(None, "total_amount", "total_mismatch", message)


def _check_job(job: Job | None, lock: BudgetLocked, budget: Budget, taken_by: int | None) -> Iterator[BudgetError]:
    held = budget.held_target
    if job is None:
        message = f"Project {lock.company_id}/{lock.project_id} has no row in jobs.csv; accounting must add one."
        yield _error(None, "project_id", "unmapped_project", message)
    elif held and job != held[:2]:
        message = (
            f"Spectrum may hold this budget under job {held.job_number} of company {held.company_code}, but the maps "
            f"now lead to job {job.job_number} of company {job.company_code}; look in Spectrum, then use "
            f"`budget-bridge reset {budget.key}`."
        )
        yield _error(None, "job_number", "job_changed", message)
    if held and lock.currency != held.currency:
        message = (
            f"Spectrum may hold this budget in {held.currency}, but this version is in {lock.currency}; look in "
            f"Spectrum, then use `budget-bridge reset {budget.key}`."
        )
        yield _error(None, "currency", "currency_changed", message)
    if taken_by is not None:
        other = budget.key._replace(budget_id=taken_by)
        message = (
            f"Budget {taken_by} of this project already has the job; take that one back, or, once Spectrum holds "
            f"nothing of it, use `budget-bridge reset {other}`."
        )
        yield _error(None, "budget_id", "job_taken", message)


def _map_lines(lines: tuple[BudgetLine, ...], rules: Rules) -> _Mapping:
    descriptions = _collect_descriptions(lines, rules)
    mapped: list[SpectrumLine] = []
    errors: list[BudgetError] = []
    notices: list[Notice] = []
    items = Counter(line.budget_line_item_id for line in lines)
    targets = Counter(target for line in lines if (target := _find_target(line, rules)))
    for line in lines:
        wrong = list(_check_figures(line, rules))
        if items[line.budget_line_item_id] > 1:
            wrong.append(("budget_line_item_id", "duplicate_line", "Another line has the same budget_line_item_id."))
        phase = rules.phases.get(line.cost_code)
        kind = rules.cost_types.get(line.cost_type)
        description = line.description
        if phase is None:
            wrong.append(("cost_code", "unmapped_cost_code", f"Cost code {line.cost_code} has no row in phases.csv."))
        else:
            candidates = descriptions[phase.phase_code]
            own = phase.description or line.description
            description = own if own in candidates else min(candidates, default="")
            wrong.extend(_check_phase(phase.phase_code, candidates))
        wrong.extend(_check_description(description, rules))
        if kind is None:
            text = f"Cost type {line.cost_type} has no row in cost_types.csv."
            wrong.append(("cost_type", "unmapped_cost_type", text))
        if phase and kind and targets[phase.phase_code, kind.spectrum_cost_type] > 1:
            text = f"Another line falls on the same phase {phase.phase_code} and cost type {kind.spectrum_cost_type}."
            wrong.append(("cost_code", "duplicate_target", text))
        if wrong or phase is None or kind is None:
            errors.extend(_error(line.budget_line_item_id, *what) for what in wrong)
            continue
        sent = shorten(description)
        if sent != description:
            text = f"The description {description!r} is sent as {sent!r}."
            notices.append(
                Notice(budget_line_item_id=line.budget_line_item_id, code="description_shortened", message=text)
            )
        mapped.append(
            SpectrumLine(
                phase_code=phase.phase_code,
                cost_type=kind.spectrum_cost_type,
                item_id=line.budget_line_item_id,
                description=sent,
                original=_count_hundredths(line.original_amount),
                revision=_count_hundredths(line.revision_amount),
                price_method_code=kind.price_method_code,
                quantity=_count_hundredths(line.quantity or Decimal(0)) if rules.quantities else None,
                unit=_read_unit(line) if rules.quantities else None,
            )
        )
    mapped.sort(key=attrgetter("key"))
    return _Mapping(tuple(mapped), frozenset(targets), tuple(errors), tuple(notices))


def _find_target(line: BudgetLine, rules: Rules) -> tuple[str, str] | None:
    phase, kind = rules.phases.get(line.cost_code), rules.cost_types.get(line.cost_type)
    return (phase.phase_code, kind.spectrum_cost_type) if phase and kind else None


def shorten(description: str) -> str:
    """Cut a description at a word, or at its limit where there is none; a short one stays."""
    if len(description) <= MAX_DESCRIPTION:
        return description
    at_word = description[: description.rfind(" ", 0, MAX_DESCRIPTION + 1) + 1].rstrip()
    return at_word or description[:MAX_DESCRIPTION]


def _collect_descriptions(lines: tuple[BudgetLine, ...], rules: Rules) -> Mapping[str, Mapping[str, None]]:
    """Collect what each phase is called, in order; where the map has its own, that alone."""
    by_map: dict[str, dict[str, None]] = {}
    by_line: dict[str, dict[str, None]] = {}
    for line in lines:
        phase = rules.phases.get(line.cost_code)
        if phase is None:
            continue
        found = by_line.setdefault(phase.phase_code, {})
        if line.description and not line.description.isspace():
            found[line.description] = None
        if phase.description:
            by_map.setdefault(phase.phase_code, {})[phase.description] = None
    return by_line | by_map


_Wrong = tuple[str, str, str]


def _check_phase(phase_code: str, descriptions: Mapping[str, None]) -> Iterator[_Wrong]:
    if not descriptions:
        yield "description", "description_missing", f"Phase {phase_code} has no description."
    if len(descriptions) > 1:
        several = ", ".join(repr(description) for description in sorted(descriptions)[:3])
        text = f"The lines of phase {phase_code} disagree about its description: {several}."
        yield "description", "description_conflict", text


def _check_description(description: str, rules: Rules) -> Iterator[_Wrong]:
    if len(description) > MAX_DESCRIPTION and rules.long_descriptions == "reject":
        text = f"{description!r} has {len(description)} characters; Spectrum takes {MAX_DESCRIPTION}."
        yield "description", "too_long", text
    if _CONTROL.search(description):
        yield "description", "forbidden_character", f"{description!r} has a control character."


def _check_figures(line: BudgetLine, rules: Rules) -> Iterator[_Wrong]:
    yield from _check_amount("original_amount", line.original_amount, MAX_ORIGINAL)
    yield from _check_amount("revision_amount", line.revision_amount, MAX_REVISION)
    if line.sub_job and not line.sub_job.isspace():
        yield "sub_job", "sub_job", f"Sub job {_show(line.sub_job)}: the Spectrum connector has none."
    if not rules.quantities:
        return
    if line.quantity is not None:
        yield from _check_amount("quantity", line.quantity, MAX_QUANTITY)
    unit = _read_unit(line) or ""
    if len(unit) > MAX_UNIT:
        yield "unit_of_measure", "too_long", f"{_show(unit)} is longer than the {MAX_UNIT} characters Spectrum takes."
    if _CONTROL.search(unit):
        yield "unit_of_measure", "forbidden_character", f"{_show(repr(unit))} has a control character."


def _check_amount(field: str, amount: Decimal, limit: Decimal) -> Iterator[_Wrong]:
    if not -limit <= amount <= limit:
        yield field, "amount_out_of_range", f"{_show(amount)} is beyond ±{limit:,}, the most that Spectrum takes."
    if not _has_two_decimals(amount):
        yield field, "too_many_decimals", _say_decimals(amount)


def _has_two_decimals(amount: Decimal) -> bool:
    return amount.same_quantum(_CENT) or amount.quantize(_CENT, context=EXACT) == amount


def _say_decimals(amount: Decimal) -> str:
    return f"{_show(amount)} has more than 2 decimals."


def _count_hundredths(amount: Decimal) -> int:
    return int(EXACT.scaleb(amount, 2))


def _read_unit(line: BudgetLine) -> str | None:
    # To Spectrum a blank means "unchanged", so it is as good as none.
    return line.unit_of_measure if line.unit_of_measure and not line.unit_of_measure.isspace() else None


def _show(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _error(item: int | None, field: str, code: str, message: str) -> BudgetError:
    return BudgetError(budget_line_item_id=item, field=field, code=code, message=message)
