"""Checks of Kafka: brokers and topics, then the groups, lanes and source topics that can be checked with them."""

from collections.abc import Mapping

from contracts.topics import SOURCES, TopicNames, list_topics
from outbox.database import Connection
from worker.doctor.check import Check, Checks, continue_after_errors
from worker.doctor.groups import check_group
from worker.doctor.lanes import check_lanes
from worker.doctor.sources import check_sources
from worker.doctor.topics import check_topic
from worker.kafka.admin import TopicState, describe_topics, list_brokers, list_missing_requests
from worker.kafka.connection import KafkaConnection, connect_kafka
from worker.kafka.errors import GRANT_ACLS
from worker.kafka.server_errors import ServerDown
from worker.pipeline.source_topics import name_intake_group
from worker.settings import KafkaSettings


async def check_kafka(settings: KafkaSettings, database: Connection | None) -> Checks:
    """Check everything that needs Kafka; raises ``KafkaDown`` where it cannot continue.

    Args:
        settings: how to reach Kafka.
        database: a session on a database with our schema; without it the lanes are not checked.

    Yields:
        The results.
    """
    kafka, names = connect_kafka(settings), settings.topics
    servers = kafka.servers
    for server in servers:
        yield await _check_server(kafka, server)
    brokers = await list_brokers(kafka)
    yield Check("kafka", "ok", f"the cluster has {len(brokers)} broker{'s' if len(brokers) > 1 else ''}")
    for broker in set(brokers) - set(servers):
        # Clients are sent to this address, so it must be reachable from here.
        if (check := await _check_server(kafka, broker)).state != "ok":
            yield check._replace(to_do="start that broker, or fix its advertised.listeners")
    topics = await describe_topics(kafka, [names.full(topic.name) for topic in list_topics()])
    async for check in _check_topics(kafka.user, topics, names, len(brokers)):
        yield check
    groups = settings.kafka_group_id, name_intake_group(settings.kafka_group_id)
    parts = [("group", check_group(kafka, group)) for group in groups]
    if database and (inbox := topics.get(names.inbox)):
        parts.append(("lanes", check_lanes(kafka, settings, database, inbox)))
    if sources := {name: topic for name in SOURCES if (topic := topics.get(names.full(name)))}:
        parts.append(("sources", check_sources(kafka, settings, sources)))
    for about, checks in parts:
        async for check in continue_after_errors(about, checks):
            yield check


async def _check_server(kafka: KafkaConnection, server: str) -> Check:
    try:
        missing = await list_missing_requests(kafka, server)
    except ServerDown as down:
        [problem] = down.problems
        return Check("kafka", "error", problem.found, problem.to_do)
    if missing:
        found = f"{server} does not support {', '.join(missing)}"
        return Check("kafka", "error", found, "use Apache Kafka 2.5 or later, or a broker with transactions")
    return Check("kafka", "ok", f"{server} answers and supports groups and transactions")


async def _check_topics(user: str, topics: Mapping[str, TopicState | None], names: TopicNames, brokers: int) -> Checks:
    all_ok = True
    for setup in list_topics():
        name = names.full(setup.name)
        if name not in topics:
            yield Check("topics", "error", f"{name} is missing", "run `budget-bridge topics`")
            all_ok = False
        elif (topic := topics[name]) is None:
            yield Check("permissions", "error", f"user {user} lacks the ACL Describe on topic {name}", GRANT_ACLS)
            all_ok = False
        else:
            for check in check_topic(name, topic, setup, brokers):
                yield check
                all_ok = False
    if all_ok:
        yield Check("topics", "ok", f"all {len(topics)} exist and are set up correctly")
