"""Which peers there are, and what each guarantees."""

from typing import Final, NamedTuple

from bench.harness import Program


class Peer(NamedTuple):
    """A program that is compared with the worker."""

    name: str
    program: Program
    budgets: int
    """Of one run: enough for ten seconds or so."""
    guarantee: str
    """What a crash does to the outputs."""


_LOST: Final = "a crash between the database's commit and the sending loses the outputs"

PEERS: Final = (
    Peer("naive", Program("bench.peers.naive"), 400, f"at most once: {_LOST} of one message"),
    Peer(
        "aiokafka, plain loop",
        Program("bench.peers.aiokafka_loop"),
        600,
        f"at most once: {_LOST} of up to one fetch",
    ),
    Peer(
        "FastStream, concurrent",
        Program("bench.peers.faststream_app", ("concurrent",)),
        600,
        f"at most once: {_LOST} of one message for each partition",
    ),
    Peer(
        "FastStream, a transaction per message",
        Program("bench.peers.faststream_app", ("transactional",)),
        300,
        f"outputs and offset together, the database apart: {_LOST} of one message for each partition",
    ),
    Peer(
        "Faust, at least once",
        Program("bench.peers.faust_app", ("at_least_once",)),
        600,
        f"{_LOST}; also acknowledges a message whose agent raised",
    ),
    Peer(
        "Faust, exactly once",
        Program("bench.peers.faust_app", ("exactly_once",)),
        300,
        f"outputs and offsets together, the database apart: {_LOST}; also acknowledges a message whose agent raised",
    ),
)
