"""Verifies a trail from its bytes alone: that it is whole, that each line says what its record says, and who signed.

Neither the database nor Kafka is asked, and no key that is in the file counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from contracts.outbound import SpectrumExport
from contracts.records import Record
from contracts.signature.verifying import Unverified, verify_record
from handlers.signers import WORDS_OF_TYPES, Word
from worker.sent_exports import read_export
from worker.signed_exports import NotApprovedError, Signers, list_approving_keys
from worker.trail.chain import ChainReader
from worker.trail.comparing import NOT_DONE, compare_received, compare_sent, rebuild_record
from worker.trail.describing import EXPORTS, Described, describe_received, unpack_bytes
from worker.trail.lines import Head, Line, Received, RulesLine, Sent

MAX_PROBLEMS: Final = 100
"""How many are kept; nobody reads more than that."""

_NO_BYTES: Final = "its bytes are not there, and those of such a message are never pruned: they were taken out"


@dataclass(slots=True)
class Verification:
    """What verifying a trail has found."""

    digest: str | None = None
    """Of the last line."""
    lines: int = 0
    problems: list[str] = field(default_factory=list)
    """The first of them, a sentence each, with the number of the line."""
    problem_count: int = 0
    proven: Counter[str] = field(default_factory=Counter)
    """Messages and exports by the key that they are proven with."""
    unproven: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Messages that need no signature and are proven by none, by type and version of the rules."""
    unapproved: int = 0
    """Exports that lack a signed decision that they rest on."""
    pruned: int = 0
    """Messages of which only the line is left."""

    def complain(self, problem: str) -> None:
        """Count a problem; only the first are kept, however many a file has."""
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)


def verify_trail(lines: Iterable[bytes], signers: Signers | None) -> Verification:
    """Verify a trail.

    Args:
        lines: of the file in binary form.
        signers: the verifier's own copy; ``None`` leaves signatures unchecked.
    """
    found, reader, check = Verification(), ChainReader(), _Check(signers)
    for number, line, problem in reader.read(lines):
        problems = [problem] if problem else []
        if line:
            problems += check.check(line, found)
        for one in problems:
            found.complain(f"line {number}: {one}")
    if problem := reader.check_end():
        found.complain(problem)
    found.lines, found.digest = reader.count, reader.digest
    return found


class _Check:
    """Checks line by line; knows what the trail is of, the place before, and the rules that were named so far."""

    def __init__(self, signers: Signers | None) -> None:
        self._signers = signers
        self._budget: str | None = None
        self._place: tuple[int, int, int] = (-1, -1, -1)
        self._required: dict[int, tuple[str, ...]] = {}

    def check(self, line: Line, found: Verification) -> Iterator[str]:
        """Check one line, and count what it proves."""
        match line:
            case Head():
                self._budget = line.budget
            case RulesLine():
                self._required[line.rules_id] = line.signatures_required
            case Received():
                yield from self._check_place(line, (line.inbox.partition, line.inbox.offset, -1))
                yield from self._check_received(line, found)
            case Sent():
                yield from self._check_place(line, (line.cause.partition, line.cause.offset, line.ordinal))
                yield from self._check_sent(line, found)

    def _check_place(self, line: Received | Sent, place: tuple[int, int, int]) -> Iterator[str]:
        if place <= self._place:
            yield "it does not come after the line before it in the inbox: lines were added or swapped"
        self._place = place
        if self._budget and line.budget != self._budget:
            yield f"it is of budget {line.budget}, and the trail of {self._budget}: it was added"

    def _check_received(self, line: Received, found: Verification) -> Iterator[str]:
        found.pruned += line.pruned
        word = WORDS_OF_TYPES.get(line.type)
        if line.rules_id not in self._required:
            yield f"version {line.rules_id} of the rules is not described before it: a line was removed"
        if line.record is None:
            if word and not (line.pruned and word == "acknowledgement"):
                yield _NO_BYTES
            return
        try:
            record = rebuild_record(line.origin, line.record)
        except ValueError as error:
            yield f"its bytes cannot be read: {error}"
            return
        described = describe_received(line.type, record)
        if differing := list(compare_received(line, described, record)):
            yield from differing
        elif word and self._signers:
            yield from self._check_signature(line, word, described, record, self._signers, found)

    def _check_signature(
        self, line: Received, word: Word, described: Described, record: Record, signers: Signers, found: Verification
    ) -> Iterator[str]:
        if line.verdict in NOT_DONE or described.message is None:
            return
        body = described.message.body
        verified = verify_record(record, str(body.key), signers.keys)
        if isinstance(verified, Unverified):
            why = verified.detail
        elif no_signer := signers.explain_no_signer(verified.kid, body, line.at):
            why = f"Key {verified.kid} may not sign it: {no_signer}."
        else:
            found.proven[verified.kid] += 1
            if line.proven_by not in {None, verified.kid}:
                yield f"it is proven by key {verified.kid}, and not by {line.proven_by}: the line was changed"
            return
        if line.proven_by or word in self._required.get(line.rules_id, ()):
            yield f"{line.type} {line.id} of {line.budget} is {line.verdict} and not proven: {why}"
        else:
            found.unproven[line.type, line.rules_id] += 1

    def _check_sent(self, line: Sent, found: Verification) -> Iterator[str]:
        if line.type not in EXPORTS:
            if line.topic.endswith(SpectrumExport.topic):
                yield "it was sent to Spectrum, and is said to be no export: the line was changed"
            return
        if line.record is None:
            yield _NO_BYTES
            return
        try:
            headers, value = unpack_bytes(line.record)
        except ValueError as error:
            yield f"its bytes cannot be read: {error}"
            return
        differing = list(compare_sent(line, headers, value))
        yield from differing
        if not differing and self._signers:
            yield from self._check_approval(line, value, self._signers, found)

    def _check_approval(self, line: Sent, value: bytes | None, signers: Signers, found: Verification) -> Iterator[str]:
        sent = read_export(value)
        try:
            found.proven.update(list_approving_keys(sent, lambda _event, _model: signers))
        except NotApprovedError as error:
            yield f"{line.type} {line.id} of {line.budget} is not approved: {error}"
            return
        found.unapproved += not sent.is_signed
