"""Explains a group whose offsets were committed by another database: only a person knows which of the two is right."""

from collections import Counter
from collections.abc import Sequence

from worker.recover.lane_state import RecoveredLane
from worker.recover.repair import RecoveryInputs, Repair


def explain_foreign_group(inputs: RecoveryInputs, lanes: Sequence[RecoveredLane]) -> Repair:
    """Describe the two ways out, of which ``--adopt`` is one.

    Args:
        inputs: what every repair is planned from.
        lanes: the lanes whose offsets are foreign.
    """
    metadata = Counter(lane.offset.metadata for lane in lanes if lane.offset)
    found = f"consumer group {inputs.deployment.group_id} belongs to another database ({', '.join(metadata)})"
    way_out = (
        "if another deployment uses this group, give this one a KAFKA_GROUP_ID of its own. If this database replaces "
        "the other one, which will never be used again, run `budget-bridge recover --adopt --dry-run`"
    )
    return Repair(found, way_out, None)
