"""Compares a reading with an export, line by line and exactly: what differs, by how much, and who wins."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

from contracts.drift import DriftKind, DriftReason, DriftState
from handlers.budget import Budget, Export, SentLine, SpectrumLine
from handlers.read_back import FoundFigures
from handlers.readings import LineKey, ReadLine, Snapshot
from handlers.spectrum_lines import find_sent_lines

_JOBS_OWN_METHOD: Final = "J"

Difference = tuple[DriftKind, int]
"""A kind, and by how much it counts, in hundredths; 0 where it is only reported."""


class ComparedLine(NamedTuple):
    """One line that is not as it was sent, or that is reported for another reason."""

    key: LineKey
    kinds: tuple[DriftKind, ...]
    amount: int
    """By how much it differs, in hundredths; 0 where nothing of it counts."""
    item_id: int | None
    """As it was last sent; ``None`` where it never was."""
    expected: tuple[int, int] | None
    """Original and revision as they should be; ``None`` where nothing is expected."""
    found: ReadLine | None

    @property
    def figures(self) -> FoundFigures:
        """What was found; all unknown where Spectrum lacks the line."""
        found = self.found
        if found is None:
            return FoundFigures(None, None, None, None)
        return FoundFigures(found.original, found.bridge_revision, found.other_revision, found.current)


class _Expected(NamedTuple):
    """What Spectrum should hold of the lines that were ever sent to the job."""

    lines: dict[LineKey, SpectrumLine]
    zeros: frozenset[LineKey]
    ever_sent: dict[LineKey, SentLine]


def compare_reading(budget: Budget, export: Export, reading: Snapshot) -> tuple[ComparedLine, ...]:
    """Compare a reading with what an export left in Spectrum.

    Args:
        budget: which knows what was ever sent to the job.
        export: the base, or a failed export.
        reading: of the export's job.

    Returns:
        Every line with a kind, in their order.
    """
    held = reading.index_lines()
    expected = _list_expected(budget, export)
    is_full, is_complete = reading.header.depth == "full", reading.header.complete
    compare = _compare_deep if is_full else _compare_shallow
    lines: list[ComparedLine] = []
    for key in sorted({*held, *expected.lines}):
        line, found = expected.lines.get(key), held.get(key)
        differences = list(
            compare(key, line, found, expected) if found else _describe_absent(line, is_proof=is_full and is_complete)
        )
        if differences:
            kinds, amount = tuple(kind for kind, _ in differences), sum(amount for _, amount in differences)
            lines.append(ComparedLine(key, kinds, amount, *_expect(line, key, expected), found))
    return tuple(lines)


def judge_lines(
    lines: Iterable[ComparedLine], kept: Collection[LineKey], *, is_full: bool
) -> tuple[DriftState, DriftReason | None]:
    """Judge what compared lines amount to.

    Args:
        lines: of one comparison.
        kept: lines of which a person has said that Spectrum's figure is meant.
        is_full: whether original and revisions were read.
    """
    if any(line.amount and line.key not in kept for line in lines):
        return "differs", None
    kinds = {kind for line in lines for kind in line.kinds}
    if not is_full and not kinds.isdisjoint({"current_differs", "not_seen"}):
        return "unknown", "current_only"
    return ("unknown", "not_complete") if "not_seen" in kinds else ("matches", None)


def _list_expected(budget: Budget, export: Export) -> _Expected:
    lines = {line.key: line for line in export.lines if not line.gone}
    sent = find_sent_lines(budget, export.target)
    zeros = {line.key for line in export.lines if line.gone} | {line[:2] for line in sent if line.at_zero}
    return _Expected(lines, frozenset(zeros - lines.keys()), {line[:2]: line for line in sent})


def _expect(line: SpectrumLine | None, key: LineKey, expected: _Expected) -> tuple[int | None, tuple[int, int] | None]:
    """Find the item id of a line, and what is expected of it."""
    if line:
        return line.item_id, (line.original, line.revision)
    sent = expected.ever_sent.get(key)
    return sent.item_id if sent else None, (0, 0) if key in expected.zeros else None


def _describe_absent(line: SpectrumLine | None, *, is_proof: bool) -> Iterator[Difference]:
    if line and not line.is_zero:
        yield ("missing", abs(line.original) + abs(line.revision)) if is_proof else ("not_seen", 0)


def _compare_deep(
    key: LineKey, line: SpectrumLine | None, found: ReadLine, expected: _Expected
) -> Iterator[Difference]:
    """Compare one line of which original and revisions are known."""
    original, bridge, others = found.original or 0, found.bridge_revision or 0, found.other_revision or 0
    if line:
        if original != line.original:
            yield "original_differs", abs(original - line.original)
        if bridge != line.revision:
            yield "revision_differs", abs(bridge - line.revision)
        if found.current != (total := original + bridge + others):
            yield "current_differs", abs(found.current - total)
    elif key in expected.zeros and (original or bridge):
        yield "not_zero", abs(original) + abs(bridge)
    if key in expected.ever_sent:
        if others:
            yield "others_revised", 0
        yield from _tell_about(line, found)
    elif original or bridge or others or found.current:
        yield "unknown_line", 0


def _compare_shallow(
    key: LineKey, line: SpectrumLine | None, found: ReadLine, expected: _Expected
) -> Iterator[Difference]:
    """Compare one line of which only the current estimate is known: a difference proves nothing."""
    wanted = line.original + line.revision if line else 0
    if (line or key in expected.zeros) and found.current != wanted:
        yield "current_differs", 0
    if key in expected.ever_sent:
        yield from _tell_about(line, found)
    elif found.current:
        yield "unknown_line", 0


def _tell_about(line: SpectrumLine | None, found: ReadLine) -> Iterator[Difference]:
    """Report what is Spectrum's own, and never touched."""
    if line is None:
        return
    if found.status == "C":
        yield "phase_complete", 0
    if found.description != line.description.strip():
        yield "description_differs", 0
    methods = {found.price_method_code, line.price_method_code}
    if len(methods) > 1 and not methods & {None, _JOBS_OWN_METHOD}:
        yield "price_differs", 0
