"""What the watch counts, under names that stay as they are; docs/operations.md lists them."""

from typing import Final

from prometheus_client import Counter, Gauge

FINDINGS: Final = Gauge("budget_bridge_watch_findings", "What the watch finds not to be as it should be.", ["kind"])
RECORDS: Final = Counter("budget_bridge_watch_records", "Records that the watch has read.", ["topic"])
UNREADABLE: Final = Counter("budget_bridge_watch_unreadable", "Records that the watch could not read.", ["topic"])
RATE: Final = Gauge("budget_bridge_watch_rate", "Messages of a type in the last whole minute.", ["type"])
BEHIND: Final = Gauge(
    "budget_bridge_watch_behind_seconds", "Age of the moment up to which the watch has read everything and judges."
)
