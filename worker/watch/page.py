"""The page of the watch: what it finds now, for people and as JSON."""

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import Final

from contracts.fields import write_time
from worker.watch.judgement import Finding

_SHOWN: Final = 1000

_MEANINGS: Final = {
    "accepted_not_exported": "accepted, but not exported in time",
    "exported_without_acceptance": "exported, but nobody asked for it",
    "two_exports_in_flight": "two exports in flight",
    "repeated_export": "the same export twice",
    "reordered_export": "an export out of order",
    "unacknowledged": "no answer from Spectrum in time",
    "pending_too_long": "waits too long for its approval",
}

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1d2430; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; } p.at { color: #5b6675; margin-top: 0; }
.calm { background: #e7f5ec; border-left: 4px solid #2c8a4b; padding: .8rem 1rem; }
.alarm { background: #fdecea; border-left: 4px solid #c0392b; padding: .8rem 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #e1e5ea; vertical-align: top; }
th { color: #5b6675; font-weight: 600; } td.time { white-space: nowrap; }
td.number { font-variant-numeric: tabular-nums; }
"""


def write_findings(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """Write findings for programs."""
    return [
        {"kind": one.kind, "budget": one.budget, "since": _write_ms(one.since_ms), "says": one.says} for one in findings
    ]


def write_page(findings: list[Finding], judged_ms: int | None, rates: dict[str, int], unreadable: int) -> str:
    """Write the page for people."""
    if judged_ms is None:
        told, at = "alarm", "It is still reading; nothing is judged yet."
    else:
        told, at = (
            ("alarm" if findings else "calm"),
            f"As of {_show_ms(judged_ms)} UTC, up to which everything was read.",
        )
    count = {0: "Nothing is wrong", 1: "1 finding"}.get(len(findings), f"{len(findings)} findings")
    says = count if judged_ms is not None else "Not known yet"
    rows = "".join(
        f"<tr><td>{escape(_MEANINGS[one.kind])}</td><td>{escape(one.budget)}</td>"
        f"<td class=time>{_show_ms(one.since_ms)}</td><td>{escape(one.says)}</td></tr>"
        for one in findings[:_SHOWN]
    )
    shown = f"<p>The first {_SHOWN} are shown.</p>" if len(findings) > _SHOWN else ""
    table = f"<table><tr><th>what<th>budget<th>since (UTC)<th>seen</tr>{rows}</table>{shown}" if findings else ""
    minutes = "".join(
        f'<tr><td>{escape(kind)}</td><td class="number">{count}</td></tr>' for kind, count in sorted(rates.items())
    )
    lost = f'<p class="alarm">{unreadable} records could not be read; they are not judged.</p>' if unreadable else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="10">'
        f"<title>budget-bridge: the watch</title><style>{_STYLE}</style></head><body>"
        f'<h1>The watch over budget-bridge</h1><p class="at">{at}</p><p class="{told}">{says}</p>{lost}{table}'
        f"<table><tr><th>messages in the last whole minute<th></tr>{minutes}</table></body></html>"
    )


def _show_ms(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _write_ms(ms: int) -> str:
    return write_time(datetime.fromtimestamp(ms / 1000, UTC))
