"""The consumer group or the inbox has another name than the database belongs to: by mistake, or on purpose."""

from dataclasses import replace
from functools import partial

from contracts.topics import INBOX, TopicNames
from outbox.deployment import InboxNames, rename_inbox
from outbox.migrate import open_checked_session
from worker.deployment import list_other_names
from worker.kafka.group_offsets import read_group_offsets
from worker.recover.quiet import check_no_worker_runs, end_transactions
from worker.recover.repair import RecoveryInputs, Repair


async def plan_renamed(inputs: RecoveryInputs, recorded: InboxNames) -> Repair:
    """Plan to record the new names, if the person says that they are meant.

    Offsets of lanes are the next step: whatever is stored for the group's new name is found out then.
    """
    names = inputs.deployment.names
    found = "; ".join(problem.partition(": ")[0] for problem in list_other_names(recorded, names))
    lanes = [(names.inbox, number) for number in range(inputs.partitions)]
    offsets = await read_group_offsets(inputs.deployment.kafka, names.group_id, lanes)
    if any(offset.metadata.startswith(str(inputs.deployment_id)) for offset in offsets.values()):
        way_out = (
            f"consumer group {names.group_id} still has offsets from when this database belonged to it, and what was "
            f"published since would be published again: set KAFKA_GROUP_ID to {recorded.group_id}, or first delete "
            f"them with `kafka-consumer-groups.sh --delete --group {names.group_id}`"
        )
        return Repair(found, way_out, None)
    if not inputs.choices.renamed:
        way_out = (
            "if the new name is a mistake, correct KAFKA_GROUP_ID or TOPIC_PREFIX. If it is meant, stop every worker, "
            "also those with the old name, and run `budget-bridge recover --renamed --dry-run`"
        )
        return Repair(found, way_out, None)
    way_out = (
        f"record that this database belongs to consumer group {names.group_id} and the inbox {names.inbox} from now "
        f"on; the offsets of its lanes are the next step"
    )
    return Repair(found, way_out, partial(_rename, inputs, recorded))


async def _rename(inputs: RecoveryInputs, recorded: InboxNames) -> None:
    prefix = recorded.inbox.removesuffix(INBOX)
    old = replace(inputs.deployment, group_id=recorded.group_id, topics=TopicNames(prefix))
    await check_no_worker_runs(old)
    # What a worker with the old name has left open cannot appear any more after the topics were read.
    await end_transactions(replace(inputs, deployment=old))
    async with open_checked_session(inputs.deployment.database_url) as connection:
        await rename_inbox(connection, inputs.deployment.names)
