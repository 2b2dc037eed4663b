"""Brings the seeds to the states that they promise: which message is due next, by what the bridge has reported."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from demo.bridge_client import Sent, Written
from demo.seeds import Reached, Seed


@dataclass(slots=True)
class _Progress:
    seed: Seed
    sent: int = 0
    reached: Reached | None = None
    content_hash: str | None = None
    dead_letters: list[str] = field(default_factory=list)

    def is_due(self) -> bool:
        steps = self.seed.steps
        return self.sent < len(steps) and steps[self.sent].after in {None, self.reached}

    def is_done(self, *, but_for_deadlines: bool) -> bool:
        wanted = self.seed.reaches
        states = {wanted, wanted._replace(overdue=False)} if but_for_deadlines else {wanted}
        letters = [self.seed.dead_letter] if self.seed.dead_letter else []
        return self.sent == len(self.seed.steps) and self.reached in states and self.dead_letters == letters


class Seeding:
    """The seeds on their way; knows neither Kafka nor a database."""

    def __init__(self, seeds: Sequence[Seed]) -> None:
        self._progress = {str(seed.budget): _Progress(seed) for seed in seeds}

    def note(self, sent: Sent) -> Reached | None:
        """Note what the bridge has sent; returns the state of its budget if that is another one now."""
        progress = self._progress.get(sent.key)
        if progress is None:
            return None
        if sent.is_dead_letter:
            progress.dead_letters.append(sent.type)
        if sent.type != "budget.status.v1":
            return None
        before, data = progress.reached, sent.data
        progress.reached = Reached(data["budget_version"], data["status"], data["overdue"])
        progress.content_hash = data["content_hash"]
        return progress.reached if progress.reached != before else None

    def take_due(self) -> Iterator[Written]:
        """Take the messages that are due; each is taken once."""
        for progress in self._progress.values():
            if progress.is_due():
                step = progress.seed.steps[progress.sent]
                progress.sent += 1
                accepts = step.data.get("decision") == "accept"
                data = step.data | ({"content_hash": progress.content_hash} if accepts else {})
                message_id = step.message_id or str(uuid4())
                yield Written(step.kind, progress.seed.budget, step.version, data, message_id)

    def list_missing(self, *, but_for_deadlines: bool = False) -> list[Seed]:
        """List the seeds that have not reached their state.

        Args:
            but_for_deadlines: without those that only wait until an answer of Spectrum is overdue.
        """
        return [one.seed for one in self._progress.values() if not one.is_done(but_for_deadlines=but_for_deadlines)]
