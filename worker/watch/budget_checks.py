"""Finds what is wrong with one budget from the watch's observations of it. Pure, and without the bridge's own rules.

Topics are read side by side, so an effect may be observed before its cause. Everything is therefore judged as of a
moment before which all topics have been read; the caller determines that moment.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, NamedTuple, get_args

from worker.watch.observations import (
    ObservedAnswer,
    ObservedExport,
    ObservedReading,
    ObservedRequest,
    ObservedRestate,
    ObservedRetry,
    ObservedReturn,
    ObservedStatus,
)
from worker.watch.observed_budget import ObservedBudget

FindingKind = Literal[
    "accepted_not_exported",
    "exported_without_acceptance",
    "two_exports_in_flight",
    "repeated_export",
    "reordered_export",
    "unacknowledged",
    "pending_too_long",
]
KINDS: Final[tuple[FindingKind, ...]] = get_args(FindingKind)
_ENDING: Final = frozenset({"accepted_not_exported", "unacknowledged", "pending_too_long"})
"""The findings that end by themselves once the missing message arrives."""

CLOCK_SKEW_MS: Final = 5_000
"""How far the clocks of those who write to the topics may differ."""
SHOWN_MS: Final = 7 * 24 * 3600 * 1000
"""How long a finding that cannot end by itself is shown."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long things may take, in milliseconds."""

    exported_within: int
    acknowledged_within: int
    pending_within: int


class Finding(NamedTuple):
    """Something about a budget that is not as it should be."""

    kind: FindingKind
    budget: str
    since_ms: int
    text: str


def find_faults(
    budget: str, observed: ObservedBudget, as_of_ms: int, limits: TimeLimits, horizon_ms: int
) -> Iterator[Finding]:
    """Find what is wrong with a budget.

    Args:
        budget: its key.
        observed: its observations.
        as_of_ms: a moment before which all topics have been read, in milliseconds since 1970.
        limits: how long things may take.
        horizon_ms: causes before this moment may be missing, because the topics no longer hold them.
    """
    exports = sorted(observed.list(ObservedExport), key=lambda export: (export.at_ms, _split(export.place)))
    horizon_ms = max(horizon_ms, observed.forgotten_ms)
    for kind, since_ms, text in (
        *_find_unexported(observed, as_of_ms - limits.exported_within),
        *_find_disorder(exports),
        *_find_causeless(observed, exports, as_of_ms, horizon_ms),
        *_find_two_in_flight(observed, exports, as_of_ms),
        *_find_waiting(observed, exports, as_of_ms, limits),
    ):
        if kind in _ENDING or as_of_ms - since_ms < SHOWN_MS:
            yield Finding(kind, budget, since_ms, text)


def is_settled(observed: ObservedBudget, as_of_ms: int, horizon_ms: int) -> bool:
    """Return whether nothing more is expected of a budget, so that time alone will not produce a finding.

    An export that failed may be retried at any time, so its acceptance is still needed.

    Args:
        observed: the observations of the budget.
        as_of_ms: as for ``find_faults``.
        horizon_ms: as for ``find_faults``.
    """
    status = observed.find(ObservedStatus)
    if observed.last_ms >= as_of_ms or (status is not None and status.status == "EXPORT_FAILED"):
        return False
    return not any(find_faults("", observed, _END_MS, TimeLimits(0, 0, 0), horizon_ms))


_END_MS: Final = 2**62
Fault = tuple[FindingKind, int, str]


def _split(place: str) -> tuple[str, int, int]:
    topic, partition, offset = place.rsplit("/", 2)
    return topic, int(partition), int(offset)


def _find_unexported(observed: ObservedBudget, before_ms: int) -> Iterator[Fault]:
    exported = {export.version for export in observed.list(ObservedExport)}
    for acceptance in observed.list_acceptances():
        version = acceptance.version
        request = observed.find(ObservedRequest, version)
        returned = observed.find(ObservedReturn, version)
        if request is None or version in exported or (returned and returned.at_ms >= request.at_ms):
            continue
        since_ms = max(request.at_ms, acceptance.at_ms)
        if observed.forgotten_ms < since_ms < before_ms:
            text = f"version {version} was accepted ({acceptance.message}), and is neither exported nor refused"
            yield "accepted_not_exported", since_ms, text


def _find_disorder(exports: list[ObservedExport]) -> Iterator[Fault]:
    seen: dict[tuple[int, int], ObservedExport] = {}
    for export in exports:
        what, order = f"export {export.number}, attempt {export.attempt}", (export.number, export.attempt)
        if order in seen:
            yield "repeated_export", export.at_ms, f"{what} is at {seen[order].place} and again at {export.place}"
        elif seen and order < max(seen):
            last = max(seen)
            text = f"{what} at {export.place} comes after export {last[0]}, attempt {last[1]}"
            yield "reordered_export", export.at_ms, text
        seen.setdefault(order, export)


def _find_causeless(
    observed: ObservedBudget, exports: list[ObservedExport], before_ms: int, horizon_ms: int
) -> Iterator[Fault]:
    for export in exports:
        if not horizon_ms < export.at_ms < before_ms:
            continue
        version = export.version
        retries = sum(retry.version == version for retry in observed.list_granted(ObservedRetry))
        if export.restatement:
            asked = 1 + retries
            is_granted = _is_restatement_asked(observed, export, exports)
        else:
            asked = retries + sum(acceptance.version == version for acceptance in observed.list_acceptances())
            is_granted = _is_accepted(observed, export)
        if not is_granted:
            what = "restated" if export.restatement else "exported"
            text = f"version {version} is {what} at {export.place}, and nobody accepted it"
            yield "exported_without_acceptance", export.at_ms, text
        elif export.attempt > asked:
            text = f"attempt {export.attempt} of version {version} at {export.place}, and nobody asked for it"
            yield "exported_without_acceptance", export.at_ms, text


def _is_restatement_asked(observed: ObservedBudget, export: ObservedExport, exports: list[ObservedExport]) -> bool:
    """Return whether there were as many decisions to restate as restatements up to this one."""
    asked = len(observed.list_granted(ObservedRestate))
    return len({one.number for one in exports if one.restatement and one.number <= export.number}) <= asked


def _is_accepted(observed: ObservedBudget, export: ObservedExport) -> bool:
    """Return whether the version has an acceptance that was neither refused nor used up by a return."""
    returned = observed.find(ObservedReturn, export.version)
    after_ms = returned.at_ms - CLOCK_SKEW_MS if returned and returned.at_ms < export.at_ms else 0
    return any(one.version == export.version and one.at_ms >= after_ms for one in observed.list_acceptances())


def _find_two_in_flight(observed: ObservedBudget, exports: list[ObservedExport], before_ms: int) -> Iterator[Fault]:
    for earlier, later in pairwise(exports):
        is_judged = observed.forgotten_ms < earlier.at_ms and later.at_ms < before_ms
        if earlier.number >= later.number or not is_judged:
            continue
        read = observed.find(ObservedReading, earlier.export_id)
        ended = (_find_final_answer(observed, earlier), read.at_ms if read else None)
        answered_ms = min((at_ms for at_ms in ended if at_ms is not None), default=None)
        if answered_ms is None or answered_ms > later.at_ms + CLOCK_SKEW_MS:
            text = f"export {later.number} at {later.place} was sent before export {earlier.number} was answered"
            yield "two_exports_in_flight", later.at_ms, text


def _find_final_answer(observed: ObservedBudget, export: ObservedExport) -> int | None:
    """Find when an export was answered for good: by a success, or by anything final for this attempt."""
    return min(
        (
            answer.at_ms
            for answer in observed.list(ObservedAnswer)
            if answer.export_id == export.export_id
            and (
                answer.status == "success"
                or (answer.attempt == export.attempt and answer.status in {"partial", "failed"})
            )
        ),
        default=None,
    )


def _find_waiting(
    observed: ObservedBudget, exports: list[ObservedExport], as_of_ms: int, limits: TimeLimits
) -> Iterator[Fault]:
    last = max(exports, key=lambda export: (export.number, export.attempt), default=None)
    if last is not None and last.at_ms > observed.forgotten_ms:
        answers = [answer.at_ms for answer in observed.list(ObservedAnswer) if answer.export_id == last.export_id]
        since_ms = max([last.at_ms, *answers])
        is_answered = _find_final_answer(observed, last) is not None or _is_synced_by_reading(observed, last)
        if not is_answered and as_of_ms - since_ms > limits.acknowledged_within:
            text = f"export {last.number}, attempt {last.attempt}, at {last.place} has no answer"
            yield "unacknowledged", since_ms, text
    status = observed.find(ObservedStatus)
    if status and status.status == "PENDING_APPROVAL" and as_of_ms - status.at_ms > limits.pending_within:
        yield "pending_too_long", status.at_ms, f"version {status.version} waits for its approval"


def _is_synced_by_reading(observed: ObservedBudget, export: ObservedExport) -> bool:
    """Return whether a snapshot showed an export whole, and the bridge took that for its success, as rules may say."""
    status = observed.find(ObservedStatus)
    is_synced = status is not None and (status.version, status.status) == (export.version, "SYNCED")
    return is_synced and observed.find(ObservedReading, export.export_id) is not None


def count_kinds(findings: Mapping[str, tuple[Finding, ...]]) -> dict[FindingKind, int]:
    """Count the findings of each kind, by budget."""
    counts: dict[FindingKind, int] = dict.fromkeys(KINDS, 0)
    for found in findings.values():
        for finding in found:
            counts[finding.kind] += 1
    return counts
