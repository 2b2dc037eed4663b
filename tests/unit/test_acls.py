"""The ACLs: each command that prints them, and the table of docs/security.md, say what the one list has."""

from pathlib import Path
from typing import get_args

import pytest

from contracts.topics import INBOX, OUTPUTS, SOURCES, TopicNames, list_topics
from worker.kafka.acls import USES, Acl, Client, list_acls, write_commands

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
NAMES = {
    tuple(setup.name for setup in list_topics()): "every topic",
    (*SOURCES, INBOX): "the sources, `bridge.inbox`",
    (INBOX, *OUTPUTS): "`bridge.inbox`, the outputs",
    tuple(SOURCES): "the sources",
    (INBOX, "bridge.commands", *OUTPUTS): "`bridge.inbox`, `bridge.commands`, the outputs",
    tuple(name for name in (*SOURCES, *OUTPUTS) if name != "bridge.dead-letters"): (
        "the sources, the outputs without `bridge.dead-letters`"
    ),
}


def write_row(client: Client) -> str:
    found: dict[tuple[str, str], list[Acl]] = {}
    for acl in list_acls(client, TopicNames(), "G"):
        found.setdefault((acl.kind, acl.operation), []).append(acl)
    parts = []
    for (kind, operation), acls in found.items():
        of_names = [acl.name for acl in acls if not acl.is_prefix]
        names = [NAMES.get(tuple(of_names)) or ", ".join(f"`{name}`" for name in of_names)] if of_names else []
        names += [f"`{acl.name}…`" for acl in acls if acl.is_prefix]
        parts.append(f"{operation} {'' if kind == 'topic' else kind.replace('-', ' ') + ' '}{', '.join(names)}")
    return f"| `{client}` | {USES[client]} | {'; '.join(parts)} |"


@pytest.mark.parametrize("client", get_args(Client))
def test_the_page_has_the_acls_of_each_client(client: Client) -> None:
    assert write_row(client) in PAGE.splitlines(), write_row(client)


def test_no_client_outside_the_bridge_may_use_transactions_or_write_for_another() -> None:
    writers: dict[str, list[str]] = {}
    for client in ("project-system", "approval-ui", "connector"):
        for acl in list_acls(client, TopicNames(), "G"):
            assert acl.kind != "transactional-id"
            if acl.operation == "Write":
                writers.setdefault(acl.name, []).append(client)
    assert all(len(clients) == 1 for clients in writers.values())
    assert writers.keys() == SOURCES.keys() - {"bridge.commands"}


def test_commands_name_everything_once_and_quote_what_a_shell_would_read() -> None:
    acls = list_acls("worker", TopicNames("test."), "my group")
    commands = list(write_commands(acls, "CN=the bridge"))
    text = "\n".join(commands)
    assert all(command.count("--allow-principal 'User:CN=the bridge'") == 1 for command in commands)
    for setup in list_topics():
        assert text.count(f"--topic test.{setup.name}") == 1
    assert "--operation Read --group 'my group' --group 'my group.intake'" in text
    assert "--operation Write --transactional-id 'my group-' --resource-pattern-type prefixed" in text
    assert text.count("prefixed") == 1
