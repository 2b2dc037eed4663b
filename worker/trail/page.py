"""Writes a trail as a page to print: one row for each line, with a style of its own, no script, and nothing loaded.

Texts are other people's: markup becomes text, and characters that hide or reorder it are shown as escapes.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import Final

from contracts.fields import write_time
from worker.console import escape_text
from worker.trail.lines import End, Head, KafkaPlace, Line, Received, RulesLine, Scalar, Sent

_STYLE: Final = """
@page { size: A4 landscape; margin: 12mm; }
body { font: 10pt/1.4 system-ui, sans-serif; color: #1d2430; margin: 1.5rem; }
h1 { font-size: 14pt; margin: 0 0 .2rem; }
p { margin: .2rem 0; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; table-layout: fixed; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
th, td { text-align: left; vertical-align: top; padding: .3rem .5rem .3rem 0; border-bottom: 1px solid #c9d0d8; }
td { overflow-wrap: anywhere; }
th { color: #4a5462; }
tr.sent td:first-child { padding-left: 1.2rem; }
tr.refused { background: #fdecea; }
tr.rules { background: #eef2f6; }
.small { font-size: 8pt; color: #4a5462; }
@media print { body { margin: 0; } }
"""
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
_COLUMNS: Final[Mapping[str, int]] = {
    "When (UTC)": 10,
    "Who": 10,
    "What": 28,
    "Key": 11,
    "Rules": 4,
    "What became of it": 15,
    "Where in Kafka": 22,
}
"""Each with its width, in hundredths of the page's."""
_BAD: Final = frozenset({"refused", "dead_lettered"})


def begin_page(head: Head) -> str:
    """Write everything up to the first row."""
    widths = "".join(f'<col width="{width}%">' for width in _COLUMNS.values())
    columns = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>Audit trail of {_write(_name_scope(head))}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>Audit trail of {_write(_name_scope(head))}</h1>\n"
        f"<p>As the database was at {_write_time(head.read_at)}; deployment {_write(head.deployment)}, "
        f"group {_write(head.group or 'none yet')}, budget-bridge {_write(head.program)}.</p>\n"
        f"{_describe_pruning(head)}<table><colgroup>{widths}</colgroup><thead><tr>{columns}</tr></thead><tbody>\n"
    )


def write_row(line: Line, digest: str) -> str:
    """Write the row of a line; the head and the end have none. ``digest`` is that of the line."""
    if isinstance(line, RulesLine):
        return _write_rules(line)
    if isinstance(line, Received):
        return _write_received(line, digest)
    return _write_sent(line, digest) if isinstance(line, Sent) else ""


def end_page(end: End, digest: str) -> str:
    """Write everything after the last row; ``digest`` is that of the last line."""
    return (
        f"</tbody></table>\n<p>{end.lines + 1} lines. Digest of the last line, for comparing with the file: "
        f"<b>{_write(digest)}</b></p>\n"
        '<p class="small">This page proves nothing by itself: the file of lines does, with '
        "<code>budget-bridge audit verify FILE --rules DIR</code>.</p>\n</body></html>\n"
    )


def _name_scope(head: Head) -> str:
    if head.budget:
        return f"budget {head.budget}"
    since = write_time(head.since) if head.since else "the beginning"
    return f"everything from {since}" + (f" to {write_time(head.until)}" if head.until else " on")


def _describe_pruning(head: Head) -> str:
    if not head.pruned_before:
        return "<p>Nothing was pruned.</p>\n"
    return (
        f"<p>Of what arrived before {_write_time(head.pruned_before)}, sent messages, and the bytes of messages other "
        "than people's own, may have been pruned; such rows say so, and what was sent is missing.</p>\n"
    )


def _write_rules(line: RulesLine) -> str:
    applied = "; ".join(f"{write_time(one.at)} by {one.by}: {one.why}" for one in line.applied)
    required = ", ".join(line.signatures_required) or "nothing"
    text = f"Rules {line.rules_id} ({line.digest[:12]}), applied {applied}. To be signed: {required}."
    return f'<tr class="rules"><td colspan="{len(_COLUMNS)}">{_write(text)}</td></tr>\n'


def _write_received(line: Received, digest: str) -> str:
    style = "refused" if line.verdict in _BAD else "received"
    key = f"{line.signed.kid}, {line.signed.at}" if line.signed else "–"
    cells = (
        _write_time(line.at),
        _write(line.who or line.source),
        _write_what(_name(line.type or "unreadable record", line.budget, line.version), line.says, pruned=line.pruned),
        _write(key),
        str(line.rules_id),
        f"<b>{_write(line.verdict)}</b> {_write(line.detail)}",
        f"{_write_place(line.inbox)}<br>from {_write_place(line.origin)}{_write_digests(line.value_sha256, digest)}",
    )
    return _write_cells(style, cells)


def _write_sent(line: Sent, digest: str) -> str:
    cells = (
        _write_time(line.at),
        "bridge",
        _write_what(_name(f"→ {line.type or 'dead letter'}", line.budget, None), line.says, pruned=False),
        "–",
        "",
        f"sent to {_write(line.topic)}",
        f"id {_write(line.id)}<br>because of {_write_place(line.cause)}{_write_digests(line.value_sha256, digest)}",
    )
    return _write_cells("sent", cells)


def _write_cells(style: str, cells: tuple[str, ...]) -> str:
    return f'<tr class="{style}">{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>\n'


def _name(kind: str, budget: str | None, version: int | None) -> str:
    return kind + (f" {budget}" if budget else "") + (f" version {version}" if version is not None else "")


def _write_what(name: str, says: Mapping[str, Scalar] | None, *, pruned: bool) -> str:
    if pruned:
        return f"<b>{_write(name)}</b><br><i>what it said was pruned</i>"
    return f"<b>{_write(name)}</b><br>{'<br>'.join(_write_said(says or {}))}"


def _write_said(says: Mapping[str, Scalar]) -> Iterator[str]:
    for name, value in says.items():
        if value is not None:
            yield f"{_write(name)}: {_write(str(value))}"


def _write_place(place: KafkaPlace) -> str:
    return _write(f"{place.topic}/{place.partition}/{place.offset}")


def _write_digests(value: str | None, line: str) -> str:
    return f'<div class="small">value {_write(value or "none")}<br>line {_write(line)}</div>'


def _write_time(time: object) -> str:
    return _write(f"{time:%Y-%m-%d %H:%M:%S}")


def _write(text: str) -> str:
    return escape(escape_text(text))
