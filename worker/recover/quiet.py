"""Makes sure that nothing else writes while a deployment is repaired: no worker runs, no transaction is open."""

from worker.deployment import Deployment
from worker.kafka.admin import describe_group
from worker.pipeline.source_topics import name_intake_group
from worker.recover.lane_publisher import open_lane_publisher
from worker.recover.repair import RecoveryInputs
from worker.settings import ConfigurationError


async def end_transactions(inputs: RecoveryInputs) -> None:
    """End what a worker or an earlier recovery has left open, so that it cannot appear after the topics were read."""
    for number in range(inputs.partitions):
        async with open_lane_publisher(inputs, number):
            pass


async def check_no_worker_runs(deployment: Deployment) -> None:
    """Check that nobody is a member of the worker's groups; raises ``ConfigurationError`` otherwise."""
    for group in (deployment.group_id, name_intake_group(deployment.group_id)):
        if members := (await describe_group(deployment.kafka, group)).members:
            problem = (
                f"consumer group {group} has {members} members: stop every worker first (one that was killed leaves "
                f"its group after 10 s)"
            )
            raise ConfigurationError((problem,))
