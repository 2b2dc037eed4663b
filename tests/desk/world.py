"""A deployment without Kafka: what is sent to it is decided and stored as a lane does, and Spectrum answers at once.

The desk reads Postgres alone, so its pages need nothing more. The clock is the world's own.
"""

from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from contracts.inbox import copy_to_inbox, open_arrival
from contracts.records import Outgoing, Place, Record
from contracts.signature.signing import PrivateKey
from contracts.topics import COMMANDS, TopicNames
from demo.bridge_client import Written, read_sent, write_message
from demo.desk_rules import write_desk_rules
from demo.keys import make_keys, read_approvals
from demo.seeding import Seeding
from demo.seeds import REFUSAL, REFUSED, SEEDS, SILENT_JOB, Seed
from demo.spectrum import Spectrum
from demo.spectrum_answers import EXPORTS, REQUESTS, SpectrumAnswers
from outbox.database import Connection
from outbox.due import find_due
from outbox.migrate import migrate
from outbox.position import Position, start_position
from outbox.rules import put_in_force
from outbox.store import store_batch
from worker.pipeline.deadlines import write_deadline
from worker.rules_files import read_rules

TOPICS = TopicNames("desk.")
BEGAN_MS = 1_795_507_200_000
"""2026-11-24 at 08:00 UTC: in the past, because the database's clock decides which deadlines have passed."""


@dataclass
class World:
    """One lane, and Spectrum beside it."""

    connection: Connection
    position: Position
    spectrum: Spectrum
    keys: Mapping[str, PrivateKey]
    silent_jobs: Container[str] = ()
    now_ms: int = BEGAN_MS
    sent: list[Outgoing] = field(default_factory=list)
    """Everything that the bridge has sent."""

    def __post_init__(self) -> None:
        self._answers = SpectrumAnswers(self.spectrum, TOPICS, self.keys, self.read_now, self.silent_jobs)

    def read_now(self) -> datetime:
        """Read the clock."""
        return datetime.fromtimestamp(self.now_ms / 1000, UTC)

    def write(self, message: Written) -> Outgoing:
        """Write a message, signed by whoever sends its type."""
        return write_message(TOPICS, message, self.read_now(), self.keys.get(message.kind))

    async def send(self, records: Iterable[Outgoing]) -> list[Outgoing]:
        """Send records to the bridge; returns what it has sent because of them, Spectrum's answers included."""
        waiting, sent = deque(records), list[Outgoing]()
        while waiting:
            caused = await self._store([waiting.popleft() for _ in range(min(len(waiting), 500))])
            sent += caused
            asked = [one for one in caused if TOPICS.short(one.topic) in {EXPORTS, REQUESTS}]
            waiting += [answer for one in asked for answer in self._answers.answer(one)]
        self.sent += sent
        return sent

    async def wait(self, length: timedelta) -> list[Outgoing]:
        """Let time pass, and with it the deadlines."""
        self.now_ms += round(length.total_seconds() * 1000)
        due = await find_due(self.connection, [0])
        return await self.send(
            write_deadline(one, TOPICS.full(COMMANDS)) for one in due if one.due_at <= self.read_now()
        )

    async def _store(self, records: Sequence[Outgoing]) -> list[Outgoing]:
        arrivals = []
        for ahead, record in enumerate(records):
            self.now_ms += 1000
            offset = self.position.next_offset + ahead
            place = Place(record.topic, 0, offset)
            original = Record(place, self.now_ms, record.key, record.value, record.headers)
            copy = copy_to_inbox(original, TOPICS.inbox)
            inbox = Record(Place(copy.topic, 0, offset), self.now_ms, copy.key, copy.value, copy.headers)
            arrivals.append(open_arrival(inbox, TOPICS))
        self.position, decided = await store_batch(self.connection, self.position, arrivals, TOPICS)
        return [row.record for row in decided.rows]


async def open_world(connection: Connection, folder: Path, silent_jobs: Container[str] = (SILENT_JOB,)) -> World:
    """Make the schema, put the rules of the desk's demo in force, and begin a lane.

    Args:
        connection: a session on an empty database.
        folder: for the rules and the keys.
        silent_jobs: the jobs for whose exports Spectrum never answers.
    """
    await migrate(connection)
    keys, rules = make_keys(folder), folder / "rules"
    write_desk_rules(rules, keys)
    await put_in_force(connection, read_rules(rules), "test", "test")
    spectrum = Spectrum(refusals={REFUSED: REFUSAL}, approvals=read_approvals(rules))
    position = await start_position(connection, 0, 0, UUID(int=1))
    return World(connection, position, spectrum, keys.by_type, silent_jobs)


async def plant(world: World, seeds: Sequence[Seed] = SEEDS) -> Seeding:
    """Bring seeds to their states, but for those that are only overdue later."""
    seeding = Seeding(seeds)
    while due := list(seeding.take_due()):
        for sent in await world.send(world.write(one) for one in due):
            seeding.note(read_sent(sent))
    return seeding
