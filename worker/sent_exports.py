"""What an export in Kafka says of its acceptance, read without the code that writes exports."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from contracts.body import Inbound
from contracts.budget_key import BudgetKey
from contracts.export_lines import Change
from contracts.fields import MAX_INT64, Cents, PriceMethod, Time, Value
from contracts.json_text import parse_unique_json, write_json

_Number = Annotated[int, Field(strict=True, ge=0, le=MAX_INT64)]


class _Line(Value):
    phase_code: str
    cost_type: str
    description: str
    original_estimate_cost: Cents
    revision_amount: Cents
    price_method_code: PriceMethod
    change: Change
    original_estimate_quantity: Cents | None = None
    unit_of_measure: str | None = None


class _Export(Inbound):
    # Exports from before there were restatements and signatures do not say that they have none.
    budget_version: _Number
    export_id: str
    restatement: _Number = 0
    attempt: _Number
    company_code: str
    job_number: str
    currency: str
    approved_by: str
    approved_at: Time
    approval: Any = None
    drift_decision: Any = None
    lines: tuple[_Line, ...]


class SentExport(NamedTuple):
    """What an export says of its acceptance."""

    budget: BudgetKey
    version: int
    export_id: str
    restatement: int
    attempt: int
    approved_by: str
    approved_at: float
    """Seconds since 1970."""
    content_hash: str
    """Of its lines, computed again; not what it says itself."""
    odd_line: str | None
    """What the hash does not cover, in words: a line that is there twice, or that is set to zero with an amount."""
    approval: str | None
    """JSON, as is ``drift_decision``."""
    drift_decision: str | None

    @property
    def is_signed(self) -> bool:
        """Whether it carries every decision that it rests on."""
        return self.approval is not None and not (self.restatement and self.drift_decision is None)


def read_export(value: bytes | None) -> SentExport:
    """Read an export.

    Raises:
        ValueError: it is none; whoever may write to the topic has written it.
    """
    export = _Export.model_validate(parse_unique_json(value or b""))
    events = (export.approval, export.drift_decision)
    return SentExport(
        export.key,
        export.budget_version,
        export.export_id,
        export.restatement,
        export.attempt,
        export.approved_by,
        export.approved_at.timestamp(),
        _hash_lines(export),
        _find_odd_line(export.lines),
        *(None if event is None else json.dumps(event, default=repr) for event in events),
    )


def _find_odd_line(lines: Sequence[_Line]) -> str | None:
    count = Counter((line.phase_code, line.cost_type) for line in lines)
    for line in lines:
        where = f"line {line.phase_code} {line.cost_type}"
        if count[line.phase_code, line.cost_type] > 1:
            return f"{where} is there twice"
        if line.change == "zero" and (_count(line.original_estimate_cost) or _count(line.revision_amount)):
            return f"{where} is a zero with an amount, which nobody has accepted"
    return None


def _hash_lines(export: _Export) -> str:
    lines = [
        (
            *(line.phase_code, line.cost_type, line.description),
            *(_count(line.original_estimate_cost), _count(line.revision_amount)),
            line.price_method_code,
            None if line.original_estimate_quantity is None else _count(line.original_estimate_quantity),
            line.unit_of_measure,
        )
        for line in export.lines
        if line.change != "zero"
    ]
    content = [export.company_code, export.job_number, export.currency, sorted(lines, key=itemgetter(0, 1))]
    return hashlib.sha256(write_json(content)).hexdigest()


def _count(decimal: str) -> int:
    """Read a decimal with two places as whole hundredths."""
    return int(decimal.replace(".", ""))
