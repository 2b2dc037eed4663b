"""Makes the lines of an audit trail from what the database holds."""

from collections.abc import AsyncIterator

from contracts.budget_key import BudgetKey
from contracts.records import Place
from handlers.signers import WORDS_OF_TYPES
from outbox.trail import Between, ReceivedRow, Scope, SentRow, Trail, TrailDeployment, TrailRules
from worker.trail.describing import (
    EXPORTS,
    describe_received,
    describe_sent,
    digest_value,
    pack_bytes,
)
from worker.trail.lines import Application, Head, KafkaPlace, Line, Received, RulesLine, Sent


async def make_lines(trail: Trail, scope: Scope, program: str) -> AsyncIterator[Line]:
    """Make all lines but the last.

    Args:
        trail: the database as of one moment.
        scope: of which budget, or of which time.
        program: the version of this program.

    Raises:
        RulesUnavailable: a newer version of this program stored a version of the rules.
    """
    deployment = await trail.read_deployment()
    yield make_head(deployment, scope, program)
    known: set[int] = set()
    async for row in trail.read_rows(scope):
        if isinstance(row, SentRow):
            yield make_sent(row, deployment.inbox)
            continue
        if row.rules_id not in known:
            known.add(row.rules_id)
            yield make_rules(await trail.read_rules(row.rules_id))
        yield make_received(row, deployment.inbox)


def make_head(deployment: TrailDeployment, scope: Scope, program: str) -> Head:
    """Make the first line."""
    between = scope if isinstance(scope, Between) else None
    return Head(
        program=program,
        deployment=str(deployment.id),
        group=deployment.group_id,
        budget=str(scope) if isinstance(scope, BudgetKey) else None,
        since=between and between.since,
        until=between and between.until,
        read_at=deployment.read_at,
        pruned_before=deployment.pruned_before,
    )


def make_rules(rules: TrailRules) -> RulesLine:
    """Make the line of a version of the rules."""
    return RulesLine(
        rules_id=rules.id,
        digest=rules.digest,
        signatures_required=rules.required,
        applied=tuple(Application(by=by, why=why, at=at) for by, why, at in rules.applied),
    )


def make_received(row: ReceivedRow, inbox: str) -> Received:
    """Make the line of a message that came in; ``inbox`` is the topic's full name."""
    record = row.original
    described = describe_received(row.type, record)
    signable = described.message and described.message.body.type in WORDS_OF_TYPES
    return Received(
        at=row.at,
        inbox=KafkaPlace(topic=inbox, partition=row.inbox_partition, offset=row.inbox_offset),
        origin=_write_place(record.place),
        budget=row.budget and str(row.budget),
        version=row.version,
        source=row.source,
        id=row.id,
        type=row.type,
        who=described.who,
        says=described.says,
        signed=described.signed,
        verdict=row.verdict,
        detail=row.detail,
        rules_id=row.rules_id,
        proven_by=row.kid,
        pruned=row.pruned,
        value_sha256=digest_value(record.value),
        record=pack_bytes(record.headers, record.value) if signable else None,
    )


def make_sent(row: SentRow, inbox: str) -> Sent:
    """Make the line of a message that was sent; ``inbox`` is the full name of the topic of what caused it."""
    record = row.record
    return Sent(
        at=row.at,
        cause=KafkaPlace(topic=inbox, partition=row.inbox_partition, offset=row.inbox_offset),
        ordinal=row.ordinal,
        topic=record.topic,
        id=str(row.id),
        type=row.type,
        budget=row.budget and str(row.budget),
        says=describe_sent(record.value) if row.type else None,
        value_sha256=digest_value(record.value),
        record=pack_bytes(record.headers, record.value) if row.type in EXPORTS else None,
    )


def _write_place(place: Place) -> KafkaPlace:
    return KafkaPlace(topic=place.topic, partition=place.partition, offset=place.offset)
