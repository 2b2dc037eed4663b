"""What the witness makes of what it saw of one budget: pure, and without a word of the bridge's own rules.

Topics are read side by side, so that an effect may be seen before its cause. So it judges as of a moment before
which everything has been read, and whoever calls it knows that moment.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict

from worker.watch.messages import Accepted, Answered, Exported, Refused, Requested, Retried, Returned, Shown, Sight

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

CLOCKS_MS: Final = 5_000
"""So far the clocks of those who write to the topics may be apart."""
SHOWN_MS: Final = 7 * 24 * 3600 * 1000
"""So long something that has happened, and cannot end by itself, is shown."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in milliseconds."""

    exported_within: int
    acknowledged_within: int
    pending_within: int


class Finding(NamedTuple):
    """Something of a budget that is not as it should be."""

    kind: FindingKind
    budget: str
    since_ms: int
    says: str


class Watched(BaseModel):
    """What was seen of one budget: each topic in its order, one topic before or after another as it comes.

    Seeing records again changes nothing in the end.
    """

    model_config = ConfigDict(frozen=True)

    accepted: dict[str, Accepted] = {}
    """By message."""
    retried: dict[str, Retried] = {}
    refused: frozenset[str] = frozenset()
    """Messages that were refused."""
    requested: dict[int, int] = {}
    """When the approval of a version was asked for last."""
    returned: dict[int, int] = {}
    exports: dict[str, Exported] = {}
    """By place."""
    answers: tuple[Answered, ...] = ()
    shown: Shown | None = None

    def note(self, sight: Sight) -> "Watched":
        """Note what was seen."""
        return self.model_copy(update=dict(_add(self, sight)))


def _add(watched: Watched, sight: Sight) -> Iterator[tuple[str, object]]:
    match sight:
        case Accepted():
            yield "accepted", {sight.message: sight} | watched.accepted
        case Retried():
            yield "retried", {sight.message: sight} | watched.retried
        case Answered():
            yield "answers", watched.answers if sight in watched.answers else (*watched.answers, sight)
        case Requested():
            yield (
                "requested",
                watched.requested | {sight.version: max(sight.at_ms, watched.requested.get(sight.version, 0))},
            )
        case Refused():
            yield "refused", watched.refused | {sight.message}
        case Returned():
            yield (
                "returned",
                watched.returned | {sight.version: max(sight.at_ms, watched.returned.get(sight.version, 0))},
            )
        case Exported():
            yield "exports", watched.exports | {sight.place: sight}
        case Shown():
            yield "shown", sight


def judge(budget: str, watched: Watched, now_ms: int, limits: Limits, horizon_ms: int) -> Iterator[Finding]:
    """Judge what was seen of a budget, as of a moment before which everything has been read.

    What lies before the horizon may have had causes that no topic has kept.
    """
    exports = sorted(watched.exports.values(), key=lambda export: (export.at_ms, _split(export.place)))
    for kind, since_ms, says in (
        *_find_unexported(watched, now_ms - limits.exported_within),
        *_find_disorder(exports),
        *_find_causeless(watched, exports, now_ms, horizon_ms),
        *_find_two_in_flight(watched, exports, now_ms),
        *_find_waiting(watched, exports, now_ms, limits),
    ):
        ends = kind in {"accepted_not_exported", "unacknowledged", "pending_too_long"}
        if ends or now_ms - since_ms < SHOWN_MS:
            yield Finding(kind, budget, since_ms, says)


def is_settled(watched: Watched, now_ms: int, horizon_ms: int) -> bool:
    """Tell whether nothing will be found of a budget by the passing of time alone, if nothing has been so far."""
    seen = [sight.at_ms for sights in (watched.accepted, watched.retried, watched.exports) for sight in sights.values()]
    return max(seen, default=0) < now_ms and not any(judge("", watched, _END_MS, Limits(0, 0, 0), horizon_ms))


_END_MS: Final = 2**62
Fault = tuple[FindingKind, int, str]


def _split(place: str) -> tuple[str, int, int]:
    topic, partition, offset = place.rsplit("/", 2)
    return topic, int(partition), int(offset)


def _find_unexported(watched: Watched, before_ms: int) -> Iterator[Fault]:
    exported = {export.version for export in watched.exports.values()}
    for accept in watched.accepted.values():
        asked_ms = watched.requested.get(accept.version)
        if asked_ms is None or accept.version in exported or accept.message in watched.refused:
            continue
        since_ms = max(asked_ms, accept.at_ms)
        if watched.returned.get(accept.version, -1) < asked_ms and since_ms < before_ms:
            yield (
                "accepted_not_exported",
                since_ms,
                f"version {accept.version} was accepted ({accept.message}), and neither exported nor refused",
            )


def _find_disorder(exports: list[Exported]) -> Iterator[Fault]:
    seen: dict[tuple[int, int], Exported] = {}
    for export in exports:
        what, at = f"export {export.number}, attempt {export.attempt}", (export.number, export.attempt)
        if at in seen:
            yield "repeated_export", export.at_ms, f"{what} is at {seen[at].place} and again at {export.place}"
        elif seen and at < max(seen):
            last = max(seen)
            yield (
                "reordered_export",
                export.at_ms,
                f"{what} at {export.place} comes after export {last[0]}, attempt {last[1]}",
            )
        seen.setdefault(at, export)


def _find_causeless(watched: Watched, exports: list[Exported], before_ms: int, horizon_ms: int) -> Iterator[Fault]:
    accepted = {accept.version for accept in watched.accepted.values()}
    for export in exports:
        if not horizon_ms < export.at_ms < before_ms:
            continue
        if export.version not in accepted:
            says = f"version {export.version} is exported at {export.place}, and nobody accepted it"
            yield "exported_without_acceptance", export.at_ms, says
        elif export.attempt > 1 + sum(retry.version == export.version for retry in watched.retried.values()):
            says = f"attempt {export.attempt} of version {export.version} at {export.place}, and nobody asked for it"
            yield "exported_without_acceptance", export.at_ms, says


def _find_two_in_flight(watched: Watched, exports: list[Exported], before_ms: int) -> Iterator[Fault]:
    for earlier, later in pairwise(exports):
        if earlier.number >= later.number or later.at_ms >= before_ms:
            continue
        answered_ms = _find_answer(watched, earlier)
        if answered_ms is None or answered_ms > later.at_ms + CLOCKS_MS:
            says = f"export {later.number} at {later.place} was sent before export {earlier.number} was answered"
            yield "two_exports_in_flight", later.at_ms, says


def _find_answer(watched: Watched, export: Exported) -> int | None:
    """When an export was answered for good: by a success, or by anything final for this attempt."""
    return min(
        (
            answer.at_ms
            for answer in watched.answers
            if answer.export_id == export.export_id
            and (
                answer.status == "success"
                or (answer.attempt == export.attempt and answer.status in {"partial", "failed"})
            )
        ),
        default=None,
    )


def _find_waiting(watched: Watched, exports: list[Exported], now_ms: int, limits: Limits) -> Iterator[Fault]:
    if exports:
        last = max(exports, key=lambda export: (export.number, export.attempt))
        heard = [answer.at_ms for answer in watched.answers if answer.export_id == last.export_id]
        since_ms = max([last.at_ms, *heard])
        if _find_answer(watched, last) is None and now_ms - since_ms > limits.acknowledged_within:
            says = f"export {last.number}, attempt {last.attempt}, at {last.place} has no answer"
            yield "unacknowledged", since_ms, says
    shown = watched.shown
    if shown and shown.status == "PENDING_APPROVAL" and now_ms - shown.since_ms > limits.pending_within:
        yield "pending_too_long", shown.since_ms, f"version {shown.version} waits for its approval"


def count_kinds(findings: Mapping[str, tuple[Finding, ...]]) -> dict[FindingKind, int]:
    """Count the findings of each kind, by budget."""
    counts: dict[FindingKind, int] = dict.fromkeys(KINDS, 0)
    for found in findings.values():
        for finding in found:
            counts[finding.kind] += 1
    return counts
