"""The metrics of the watch, under names that do not change; docs/operations.md lists them."""

from typing import Final

from prometheus_client import Counter, Gauge

FINDINGS: Final = Gauge("budget_bridge_watch_findings", "Present findings of the watch.", ["kind"])
RECORDS: Final = Counter("budget_bridge_watch_records", "Records that the watch has read.", ["topic"])
UNREADABLE: Final = Counter("budget_bridge_watch_unreadable", "Records that the watch could not read.", ["topic"])
RATE: Final = Gauge("budget_bridge_watch_rate", "Messages of a type in the last whole minute.", ["type"])
BEHIND: Final = Gauge(
    "budget_bridge_watch_behind_seconds", "Age of the moment up to which the watch has read everything and judges."
)
