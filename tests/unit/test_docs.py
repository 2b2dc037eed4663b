"""The pages for users name what the code has, and nothing that it has not."""

import re
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import Counter, Gauge, Histogram
from pydantic import BaseModel

from contracts.outbound import RefusalCode, ReturnCause, StatusName
from handlers import validation
from handlers.decision import Verdict
from worker.telemetry import log_writer, metrics
from worker.trail.lines import Application, Bytes, End, Head, KafkaPlace, Received, RulesLine, Sent, Signed
from worker.watch import metrics as watch_metrics

ROOT = Path(__file__).parents[2]
BEHAVIOUR = (ROOT / "docs" / "behaviour.md").read_text()


@pytest.mark.parametrize("name", [*Verdict, *get_args(RefusalCode), *get_args(ReturnCause), *get_args(StatusName)])
def test_the_rules_page_names_every_verdict_code_cause_and_status(name: str) -> None:
    assert name in BEHAVIOUR


def test_the_rules_page_lists_the_codes_of_validation() -> None:
    source = "".join(file.read_text() for file in Path(validation.__file__).parent.glob("*.py"))
    table = BEHAVIOUR.partition("## Validation")[2].partition("**Same content**")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    listed = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    assert listed
    for code in listed:
        assert f'"{code}"' in source, code
    used = set(re.findall(r'"([a-z]+(?:_[a-z]+)+)"', source)) - listed
    fields = {"budget_line_item_id", "cost_code", "cost_type", "original_amount", "revision_amount", "total_amount"}
    assert used <= fields | {"unit_of_measure", "project_id", "budget_id", "job_number", "description_shortened"} | {
        "phase_code",
        "spectrum_cost_type",
    }


@pytest.mark.parametrize("line", [Head, RulesLine, Application, Received, Sent, End, Signed, KafkaPlace, Bytes])
def test_the_page_of_the_audit_trail_names_every_field(line: type[BaseModel]) -> None:
    page = (ROOT / "docs" / "audit.md").read_text().partition("## The lines")[2]
    assert {name for name in line.model_fields if f"`{name}`" not in page} == set()


def test_links_between_pages_and_code_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_table_of_dependencies_names_tests_that_there_are() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("## What can happen to its dependencies")[2].partition("\n## ")[0]
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", table))
    assert len(named) > 40
    assert {name for name in named if f"def {name}(" not in tests} == set()
    chaos = (ROOT / "tests" / "exactly_once" / "chaos.py").read_text()
    kinds = set(re.findall(r"chaos: \*([^*]+)\*", table))
    assert {kind for kind in kinds if f'"{kind}"' not in chaos} == set()
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ") and "What happens" not in line]
    assert sum("no test yet" not in row[5] for row in rows) > 90
    assert "**Open" not in table
    assert all((len(row) == 6 and "test" in row[5]) or "chaos" in row[5] for row in rows)


def test_the_operations_page_lists_every_metric_and_nothing_else() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    listed = {
        (found[1].removesuffix("_total"), found[2], found[3])
        for found in re.finditer(r"^\| `(budget_bridge_\w+)` \| (\w+) \| ([^|]*?) ?\|", page, re.MULTILINE)
    }
    there = [one for module in (log_writer, metrics, watch_metrics) for one in vars(module).values()]
    ours = [one for one in there if isinstance(one, (Counter, Gauge, Histogram))]
    assert listed == {(one._name, one._type, ", ".join(f"`{label}`" for label in one._labelnames)) for one in ours}
