"""The bridge on a broker with TLS, logins and an authorizer, with the ACLs that ``budget-bridge acls`` prints."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import get_args

import pytest

from contracts.budget_key import BudgetKey
from contracts.records import Outgoing
from contracts.topics import TopicNames, list_topics
from handlers.ids import name_export
from tests.end_to_end.harness import Bridge, insist
from tests.end_to_end.test_doctor import ask, find_problems
from tests.end_to_end.test_grants import wait_for_log
from tests.end_to_end.test_watch import WatchProcess
from tests.secured_kafka import PASSWORD, SecuredKafka, SecuredPlaces, open_secured_kafka
from tests.token_endpoint import AUDIENCE, SECRET
from tests.unit.builders import (
    KEY,
    STEEL,
    accept,
    acknowledge,
    lock,
    read_line,
    reject,
    request_import,
    snapshot,
)
from worker.kafka.acls import Acl, Client, Operation, list_acls
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.errors import KafkaDown, NotPermitted
from worker.kafka.producer import Appender
from worker.kafka.topic_log import open_topic_log


@pytest.fixture(scope="module")
def secured(secured_kafka: SecuredPlaces) -> Iterator[SecuredKafka]:
    with open_secured_kafka(secured_kafka) as opened:
        yield opened


def list_needed(bridge: Bridge, client: Client) -> list[Acl]:
    return list_acls(client, TopicNames(bridge.prefix), bridge.environment["KAFKA_GROUP_ID"])


@pytest.fixture
async def guarded(tmp_path: Path, secured: SecuredKafka, database_url: str) -> AsyncIterator[Bridge]:
    """A deployment whose worker logs in, with topics that the administrator has made."""
    opened = Bridge(tmp_path, secured.places.direct, database_url)
    for client in get_args(Client):
        await secured.permit(client, list_needed(opened, client))
    await opened.prepare()
    opened.settings |= secured.log_in("worker")
    try:
        yield opened
        findings = await opened.reconcile()
        assert findings.are_clean, findings.first
    finally:
        await opened.close()
        for client in get_args(Client):
            await secured.forbid(client, list_needed(opened, client))


async def run(bridge: Bridge, secured: SecuredKafka, client: Client, *arguments: str) -> tuple[int, str]:
    done = await asyncio.to_thread(bridge.command, *arguments, **secured.log_in(client))
    return done.returncode, done.stdout + done.stderr


async def test_the_whole_path_works_with_the_acls_that_are_printed(guarded: Bridge, secured: SecuredKafka) -> None:
    created = await run(guarded, secured, "administrator", "topics")
    assert created == (0, "all topics exist\n")
    guarded.start()
    await guarded.send(lock(), accept())
    await guarded.wait_for("spectrum.export.v1")
    await guarded.send(acknowledge("failed", code="X", message="no"))
    await guarded.wait_for("budget.status.v1", status="EXPORT_FAILED")
    commands: tuple[tuple[Client, tuple[str, ...]], ...] = (
        ("operator", ("retry", str(KEY), "--by", "ann", "--why", "test")),
        ("operator", ("acknowledge", str(KEY), "--status", "success", "--by", "ann", "--why", "test", "--yes")),
        ("operator", ("status",)),
        ("operator", ("status", str(KEY))),
        ("auditor", ("status",)),
        ("auditor", ("reconcile",)),
        ("auditor", ("prune", "--older-than", "0s", "--yes")),
        ("replayer", ("dead-letters", "list")),
    )
    for client, arguments in commands:
        done = await run(guarded, secured, client, *arguments)
        assert done[0] == 0, (client, arguments, done)
    both: tuple[Client, ...] = ("worker", "auditor")
    for client in both:
        status, checks = await ask(guarded, **secured.log_in(client))
        assert (status, [check for check in checks if check["state"] != "ok"]) == (0, []), client


async def provoke(bridge: Bridge, acl: Acl, key: BudgetKey) -> None:
    """Send what makes a worker use an ACL, about a budget that nothing else is about."""
    match acl.name.removeprefix(bridge.prefix):
        case "bridge.commands" | "spectrum.requests" | "procore.imports":
            # Spectrum is asked, does not answer in time, and the import ends.
            await bridge.send(request_import(**key._asdict()))
        case "procore.returns":
            await bridge.send(lock(key=key), reject(key=key))
        case "bridge.dead-letters":
            await bridge.send_raw("procore.budgets", b"no message", key=str(key).encode())
        case "bridge.drift":
            await bridge.send(lock(key=key), accept(key=key))
            await bridge.wait_for("spectrum.export.v1", 1, project_id=key.project_id)
            begun = {"export_id": str(name_export(key, 1, 1)), "attempt": 1, "whole": True}
            line = read_line(STEEL, original_estimate_cost="9.00", current_estimate_cost="9.00")
            where = key._asdict() | {"job_number": f"J{key.project_id}", "last_begun": begun}
            await bridge.send(snapshot(line, **where))
        case _:
            await bridge.send(lock(key=key), accept(key=key))


async def test_a_worker_that_lacks_an_acl_names_it_waits_and_loses_nothing(
    guarded: Bridge, secured: SecuredKafka
) -> None:
    guarded.write_rules(rules_toml='[import]\nexpiry = "1s"\n')
    worker = guarded.start()
    await guarded.send(lock(key=KEY._replace(project_id=400)))
    await guarded.wait_for("approval.requested.v1")
    needed = [acl for acl in list_needed(guarded, "worker") if acl.operation != "DescribeConfigs"]
    for number, acl in enumerate(needed, 1):
        before = len(guarded.read_log())
        await secured.forbid("worker", [acl])
        await provoke(guarded, acl, KEY._replace(project_id=number))
        named = str(acl).removesuffix("…")
        await wait_for_log(guarded, "", f"user worker lacks the ACL {named}", before)
        await secured.permit("worker", [acl])
    assert worker.poll() is None
    await guarded.wait_until_carried()
    await guarded.wait_for("budget.import_ended.v1", 4)


@pytest.mark.parametrize("which", ["the lanes", "the intake"])
async def test_a_worker_whose_group_is_refused_for_longer_than_its_session_comes_back(
    guarded: Bridge, secured: SecuredKafka, which: str
) -> None:
    """aiokafka's heartbeats end at the first refusal, and the group has then removed the member."""
    worker = guarded.start()
    await guarded.send(lock())
    await guarded.wait_for("approval.requested.v1")
    group = guarded.groups[which == "the intake"]
    read = [Acl("Read", "group", group)]
    await secured.forbid("worker", read)
    await guarded.send(lock(key=KEY._replace(project_id=1)))
    await guarded.wait_until_empty(group)
    await guarded.send(lock(key=KEY._replace(project_id=2)))
    await secured.permit("worker", read)
    for project_id in (1, 2):
        await guarded.wait_for("approval.requested.v1", project_id=project_id)
    assert worker.poll() is None


async def test_whoever_else_lacks_an_acl_is_told_which(guarded: Bridge, secured: SecuredKafka) -> None:
    guarded.start()
    await guarded.send(lock(), accept())
    await guarded.wait_for("spectrum.export.v1")
    await guarded.wait_until_carried()
    configs = [acl for acl in list_needed(guarded, "auditor") if acl.operation == "DescribeConfigs"]
    await secured.forbid("auditor", configs)
    problems = " ".join(await find_problems(guarded, **secured.log_in("auditor")))
    assert [acl for acl in configs if f"lacks the ACL {acl}" not in problems] == []
    await secured.permit("auditor", configs)
    reads = [acl for acl in list_needed(guarded, "auditor") if acl.operation == "Read"]
    await secured.forbid("auditor", reads)
    problems = " ".join(await find_problems(guarded, **secured.log_in("auditor")))
    assert [acl for acl in reads if f"user auditor lacks the ACL Describe on topic {acl.name}" not in problems] == []
    await secured.permit("auditor", reads)
    for acl in list_needed(guarded, "auditor"):
        if acl.kind == "group":
            await secured.forbid("auditor", [acl])
            problems = " ".join(await find_problems(guarded, **secured.log_in("auditor")))
            assert f"user auditor lacks the ACL {acl}" in problems
            await secured.permit("auditor", [acl])
    people = ("--by", "ann", "--why", "test")
    cases: tuple[tuple[Client, Operation, str, tuple[str, ...]], ...] = (
        ("operator", "Write", "bridge.commands", ("snapshot", str(KEY), *people)),
        (
            "operator",
            "Write",
            "spectrum.acknowledgements",
            ("acknowledge", str(KEY), "--status", "success", *people, "--yes"),
        ),
        ("operator", "Read", "spectrum.exports", ("status", str(KEY))),
        ("replayer", "Write", "procore.budgets", ("import", str(KEY), "--by", "ann", "--currency", "USD")),
    )
    for client, operation, topic, arguments in cases:
        acl = Acl(operation, "topic", guarded.prefix + topic)
        await secured.forbid(client, [acl])
        _, printed = await run(guarded, secured, client, *arguments)
        assert f"user {client} lacks the ACL {acl}" in printed, printed
        await secured.permit(client, [acl])
    await secured.forbid("administrator", list_needed(guarded, "administrator"))
    status, printed = await run(guarded, secured, "administrator", "topics")
    assert (status, f"user administrator lacks the ACL Create on topic {guarded.prefix}" in printed) == (2, True)
    await secured.permit("administrator", list_needed(guarded, "administrator"))


async def test_a_wrong_password_is_named_whatever_the_mechanism(guarded: Bridge, secured: SecuredKafka) -> None:
    for mechanism in ("SCRAM-SHA-512", "PLAIN"):
        login = secured.log_in("auditor", mechanism)
        _, checks = await ask(guarded, **login)
        assert [check["found"] for check in checks if check["state"] == "error"] == []
        problems = await find_problems(guarded, **login | {"KAFKA_SASL_PASSWORD": "wrong"})
        refused = f"{login['KAFKA_BOOTSTRAP']} refuses the user name or password of auditor"
        assert problems[refused] == "check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"


async def test_the_watch_works_with_its_own_acls(guarded: Bridge, secured: SecuredKafka) -> None:
    guarded.start()
    await guarded.send(lock(), accept())
    await guarded.wait_for("spectrum.export.v1")
    worker = dict(guarded.settings)
    guarded.settings |= secured.log_in("watch")
    watch = WatchProcess(guarded)
    watch.start()
    try:
        guarded.settings = worker
        assert await watch.wait_until_judged() == set()
    finally:
        watch.stop()


async def test_a_worker_that_logs_in_by_tokens_outlives_each_of_them(guarded: Bridge, secured: SecuredKafka) -> None:
    tokens = secured.tokens
    tokens.seconds = 4
    for name in secured.log_in("worker"):
        del guarded.settings[name]
    secret = guarded.folder / "secret"
    secret.write_text(f"{SECRET}\n")
    guarded.settings |= secured.log_in_by_token("worker")
    del guarded.settings["KAFKA_OAUTH_CLIENT_SECRET"]
    guarded.settings["KAFKA_OAUTH_CLIENT_SECRET_FILE"] = str(secret)
    tokens.asked.clear()
    worker = guarded.start()
    for project in range(1, 400):
        await guarded.send(lock(key=KEY._replace(project_id=project)))
        await guarded.wait_for("approval.requested.v1", 1, project_id=project)
        if len(tokens.asked) > 5:
            break
    assert worker.poll() is None
    assert len(tokens.asked) > 5
    tokens.seconds = 300
    status, checks = await ask(guarded)
    assert (status, [check for check in checks if check["state"] != "ok"]) == (0, [])
    wrong = {"KAFKA_OAUTH_CLIENT_SECRET": "other", "KAFKA_OAUTH_CLIENT_SECRET_FILE": None}
    problems = await find_problems(guarded, **wrong)
    assert any("answers 401 to client worker (invalid_client)" in found for found in problems), problems
    tokens.audience = "others"
    problems = await find_problems(guarded)
    assert any("refuses the token of client worker" in found for found in problems), problems
    tokens.audience = AUDIENCE


@pytest.mark.parametrize("client", ["project-system", "approval-ui", "connector", "desk"])
async def test_whoever_is_outside_reads_and_writes_its_own_topics_and_no_others(
    guarded: Bridge, secured: SecuredKafka, client: Client
) -> None:
    kafka = KafkaConnection(
        secured.places.scram, "SASL_SSL", "SCRAM-SHA-512", client, PASSWORD, ssl_cafile=str(secured.certificate)
    )
    acls = [acl for acl in list_needed(guarded, client) if acl.kind == "topic"]
    appender = Appender(kafka)
    read = [acl.name for acl in acls if acl.operation == "Read"]
    written = [acl.name for acl in acls if acl.operation == "Write"]
    for topic in written:
        await appender.append([Outgoing(topic, b"key", b"no message", ())])
    if client != "desk":
        reader = Consumer(kafka, f"{guarded.prefix}{client}-1", read, start="earliest")
        await insist(reader.start, KafkaDown)
        await insist(lambda: reader.bounds((read[0], 0)), KafkaDown)
        await reader.close(1.0)
    async with open_topic_log(kafka, read[0]) as log:
        assert len(log.bounds) == 2
    for setup in list_topics():
        topic = guarded.prefix + setup.name
        if topic not in written:
            with pytest.raises(NotPermitted, match=f"user {client} lacks the ACL Write on topic {topic}"):
                await appender.append([Outgoing(topic, b"key", b"no message", ())])
        if topic not in read:
            with pytest.raises(NotPermitted, match=f"user {client} lacks the ACL Read on topic {topic}"):
                async with open_topic_log(kafka, topic) as log:
                    [records async for records in log.read()]
    await appender.close(1.0)
