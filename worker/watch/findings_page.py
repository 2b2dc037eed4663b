"""Writes the findings of the watch as an HTML page and as JSON."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Final

from contracts.fields import write_time
from worker.watch.budget_checks import Finding

_SHOWN: Final = 1000
_LAST_MS: Final = 253_402_300_799_000
"""The end of the year 9999."""

_MEANINGS: Final = {
    "accepted_not_exported": "accepted, but not exported in time",
    "exported_without_acceptance": "exported, but nobody asked for it",
    "two_exports_in_flight": "two exports in flight",
    "repeated_export": "the same export twice",
    "reordered_export": "an export out of order",
    "unacknowledged": "not acknowledged by Spectrum in time",
    "pending_too_long": "waits too long for approval",
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
    """Write findings as JSON values."""
    return [
        {"kind": one.kind, "budget": one.budget, "since": _write_ms(one.since_ms), "says": one.text} for one in findings
    ]


def write_page(findings: list[Finding], judged_ms: int | None, rates: Mapping[str, int], unreadable: int) -> str:
    """Write the page in HTML.

    Args:
        findings: what is not as it should be, the latest first; a limited number is shown.
        judged_ms: the moment as of which everything was judged, in milliseconds since 1970; ``None`` before the first.
        rates: messages of each type in the last whole minute.
        unreadable: records that could not be read.
    """
    if judged_ms is None:
        style, headline, at = "alarm", "Not known yet", "Still reading; nothing has been judged."
    else:
        style = "alarm" if findings else "calm"
        headline = {0: "Nothing is wrong", 1: "1 finding"}.get(len(findings), f"{len(findings):,} findings")
        at = f"As of {_format_ms(judged_ms)} UTC; everything before that has been read."
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="10">'
        f"<title>budget-bridge: the watch</title><style>{_STYLE}</style></head><body>"
        f'<h1>The watch over budget-bridge</h1><p class="at">{at}</p><p class="{style}">{headline}</p>'
        f"{_write_unreadable(unreadable)}{_write_findings_table(findings)}{_write_rates_table(rates)}</body></html>"
    )


def _write_unreadable(count: int) -> str:
    if not count:
        return ""
    text = "1 record could not be read and is" if count == 1 else f"{count:,} records could not be read and are"
    return f'<p class="alarm">{text} not part of the findings.</p>'


def _write_findings_table(findings: list[Finding]) -> str:
    if not findings:
        return ""
    rows = "".join(
        f"<tr><td>{escape(_MEANINGS[one.kind])}</td><td>{_escape(one.budget)}</td>"
        f"<td class=time>{_format_ms(one.since_ms)}</td><td>{_escape(one.text)}</td></tr>"
        for one in findings[:_SHOWN]
    )
    more = f"<p>Only the latest {_SHOWN:,} are shown.</p>" if len(findings) > _SHOWN else ""
    return f"<table><tr><th>Finding<th>Budget<th>Since (UTC)<th>Details</tr>{rows}</table>{more}"


def _write_rates_table(rates: Mapping[str, int]) -> str:
    rows = "".join(
        f'<tr><td>{_escape(kind)}</td><td class="number">{rates[kind]:,}</td></tr>' for kind in sorted(rates)
    )
    return f"<table><tr><th>Message type<th>In the last whole minute</tr>{rows}</table>"


def _escape(text: str) -> str:
    """Escape what others wrote: markup, and characters that hide or reorder text."""
    return escape("".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text))


def _format_ms(ms: int) -> str:
    return _read_ms(ms).strftime("%Y-%m-%d %H:%M:%S")


def _write_ms(ms: int) -> str:
    return write_time(_read_ms(ms))


def _read_ms(ms: int) -> datetime:
    # A producer may write any time into its record.
    return datetime.fromtimestamp(min(max(ms, 0), _LAST_MS) / 1000, UTC)
