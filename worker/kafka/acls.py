"""Which ACLs in Kafka each client of our topics needs: the one list of them, and the commands that add them."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from contracts.topics import COMMANDS, DEAD_LETTERS, INBOX, OUTPUTS, SOURCES, TopicNames

Client: TypeAlias = Literal[
    "worker",
    "auditor",
    "operator",
    "replayer",
    "watch",
    "administrator",
    "desk",
    "project-system",
    "approval-ui",
    "connector",
]
Operation: TypeAlias = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]
Kind: TypeAlias = Literal["topic", "group", "transactional-id"]

USES: Final[Mapping[Client, str]] = {
    "worker": "`budget-bridge run`, `recover`",
    "auditor": "`doctor`, `reconcile`, `status`, `prune`",
    "operator": "`retry`, `snapshot`, `release`, `reset`, `acknowledge`, `status`",
    "replayer": "`dead-letters replay`, `import`, and what an operator does",
    "watch": "`budget-bridge watch`",
    "administrator": "`budget-bridge topics`",
    "desk": "`budget-bridge desk`, for approvals; if it acts for operators, it needs theirs too",
    "project-system": "whoever locks budgets, and reads what becomes of them",
    "approval-ui": "whoever shows budgets to approvers, and sends their decisions",
    "connector": "whoever writes to Spectrum, and answers",
}
"""What each client is."""


class Acl(NamedTuple):
    """One permission: an operation on one topic, group or transactional id, or on all whose names begin like it."""

    operation: Operation
    kind: Kind
    name: str
    is_prefix: bool = False

    def __str__(self) -> str:
        return f"{self.operation} on {self.kind.replace('-', ' ')} {self.name}{'…' * self.is_prefix}"


_EVERY_TOPIC: Final = (*SOURCES, INBOX, *OUTPUTS)
_OF_OPERATORS: Final = (COMMANDS, "spectrum.acknowledgements")

_TOPICS: Final[Mapping[Client, Mapping[Operation, tuple[str, ...]]]] = {
    "worker": {
        "Read": (*SOURCES, INBOX),
        "Write": (INBOX, COMMANDS, *OUTPUTS),
        "DescribeConfigs": _EVERY_TOPIC,
    },
    "auditor": {"Read": _EVERY_TOPIC, "DescribeConfigs": _EVERY_TOPIC},
    "operator": {"Read": (INBOX, *OUTPUTS), "Write": _OF_OPERATORS},
    "replayer": {"Read": (INBOX, *OUTPUTS), "Write": tuple(SOURCES)},
    "watch": {"Read": tuple(name for name in (*SOURCES, *OUTPUTS) if name != DEAD_LETTERS)},
    "administrator": {"Create": _EVERY_TOPIC},
    "desk": {"Read": ("bridge.status",), "Write": ("procore.approvals",)},
    "project-system": {
        "Read": ("procore.returns", "procore.imports", "bridge.status"),
        "Write": ("procore.budgets",),
    },
    "approval-ui": {
        "Read": ("bridge.approval-requests", "bridge.drift", "bridge.status", "procore.returns"),
        "Write": ("procore.approvals",),
    },
    "connector": {
        "Read": ("spectrum.exports", "spectrum.requests"),
        "Write": ("spectrum.acknowledgements", "spectrum.snapshots"),
    },
}


def list_acls(client: Client, topics: TopicNames, group_id: str) -> list[Acl]:
    """List what a client needs, and no more.

    Args:
        client: which.
        topics: how the topics of this deployment are named.
        group_id: the group of the lanes.

    Returns:
        Its ACLs. Whoever is outside the bridge reads in groups whose names begin as the client is called here.
    """
    acls = [
        Acl(operation, "topic", topics.full(name)) for operation, names in _TOPICS[client].items() for name in names
    ]
    groups = (group_id, f"{group_id}.intake")
    if client == "worker":
        acls += [Acl("Read", "group", group) for group in groups]
        acls.append(Acl("Write", "transactional-id", f"{group_id}-", is_prefix=True))
    elif client == "auditor":
        acls += [Acl("Describe", "group", group) for group in groups]
    elif client in {"operator", "replayer"}:
        acls.append(Acl("Describe", "group", group_id))
    elif client == "watch":
        group = f"{group_id}.watch"
        acls += [Acl(operation, "topic", f"{group}-", is_prefix=True) for operation in ("Create", "Read", "Write")]
        acls.append(Acl("Read", "group", group))
    elif client in {"project-system", "approval-ui", "connector"}:
        acls.append(Acl("Read", "group", topics.full(client), is_prefix=True))
    return acls


def write_commands(acls: list[Acl], user: str) -> Iterator[str]:
    """Write the commands that add ACLs, each for everything of which the same operations are permitted.

    Args:
        acls: what is to be permitted.
        user: to which user, without ``User:``.

    Yields:
        Commands for a shell in which ``KAFKA_BOOTSTRAP`` and ``ADMIN_CONFIG``, a file of Kafka's tools, are set.
    """
    operations: dict[tuple[Kind, str, bool], list[Operation]] = {}
    for acl in acls:
        operations.setdefault((acl.kind, acl.name, acl.is_prefix), []).append(acl.operation)
    named: dict[tuple[Kind, bool, tuple[Operation, ...]], list[str]] = {}
    for (kind, name, is_prefix), listed in operations.items():
        named.setdefault((kind, is_prefix, tuple(listed)), []).append(name)
    tool = 'kafka-acls.sh --bootstrap-server "$KAFKA_BOOTSTRAP" --command-config "$ADMIN_CONFIG" --add'
    for (kind, is_prefix, permitted), names in named.items():
        words = ["--allow-principal", f"User:{user}", *(word for one in permitted for word in ("--operation", one))]
        words += [word for name in names for word in (f"--{kind}", name)]
        words += ["--resource-pattern-type", "prefixed"] * is_prefix
        yield f"{tool} {shlex.join(words)}"
