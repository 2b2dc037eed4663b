"""``budget-bridge snapshot``: asks the ERP side to read what Spectrum holds of a budget."""

from worker.commands.arguments import Key
from worker.commands.operator_command import By, Why, send_and_report
from worker.operator_messages import make_snapshot_request


def request_snapshot(key: Key, by: By, why: Why) -> None:
    """Ask the ERP side to read what Spectrum holds of a budget; `status` and `drift` show the answer."""
    send_and_report(key, lambda budget, _: make_snapshot_request(budget, by, why))
