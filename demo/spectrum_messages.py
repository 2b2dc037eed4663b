"""The messages of the ERP side as values: reads an export, and writes what answers it."""

from collections.abc import Mapping
from typing import Any

from demo.spectrum import ApplyResult, ApprovalClaim, LineKey, LineRefusal, ReceivedExport, ReceivedLine, SpectrumJob


def read_export(data: Mapping[str, Any]) -> ReceivedExport:
    """Read the data of an export message."""
    return ReceivedExport(
        budget=(data["company_id"], data["project_id"], data["budget_id"]),
        version=data["budget_version"],
        export_id=data["export_id"],
        base_export_id=data["base_export_id"],
        number=data["export_number"],
        attempt=data["attempt"],
        reference=data["change_reference"],
        booked_on=data["effective_date"] or data["approved_at"][: len("2026-11-24")],
        job=SpectrumJob(data["company_code"], data["job_number"]),
        lines=tuple(_read_line(line) for line in data["lines"]),
        claim=ApprovalClaim(
            data["currency"], data["approved_by"], data["restatement"], data["approval"], data["drift_decision"]
        ),
    )


def write_acknowledgement(export: ReceivedExport, result: ApplyResult, at: str) -> dict[str, Any]:
    """Write the data of the ``erp.acknowledgement.v1`` that answers an attempt, acknowledged ``at`` that time."""
    company_id, project_id, budget_id = export.budget
    return {
        "company_id": company_id,
        "project_id": project_id,
        "budget_id": budget_id,
        "budget_version": export.version,
        "export_id": export.export_id,
        "attempt": export.attempt,
        "status": result.status,
        "acknowledged_at": at,
        "message": result.message,
        "lines": [
            {
                **line.key._asdict(),
                "status": "failed" if line.key in result.refused else "success",
                **_describe_refusal(result.refused.get(line.key)),
            }
            for line in export.lines
            if result.status != "failed"
        ],
    }


def _describe_refusal(refusal: LineRefusal | None) -> dict[str, str]:
    if refusal is None:
        return {}
    return {
        "error_code": refusal.code,
        "error_description": refusal.description,
        "error_column": refusal.column,
    }


def _read_line(line: Mapping[str, Any]) -> ReceivedLine:
    quantity = line.get("original_estimate_quantity")
    return ReceivedLine(
        LineKey(line["phase_code"], line["cost_type"]),
        line["description"],
        _read_hundredths(line["original_estimate_cost"]),
        _read_hundredths(line["revision_amount"]),
        line["price_method_code"],
        None if quantity is None else _read_hundredths(quantity),
        line.get("unit_of_measure"),
        line["change"],
        line["keep_description"],
    )


def _read_hundredths(amount: str) -> int:
    # There are always two decimals, so dropping the point is exact; a float would not be.
    return int(amount.replace(".", ""))
