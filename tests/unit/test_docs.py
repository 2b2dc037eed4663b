"""The pages for users name what the code has, and nothing that it has not."""

import re
from collections import Counter as Counts
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import Counter, Gauge, Histogram
from pydantic import BaseModel

from contracts.outbound import RefusalCode, ReturnCause, StatusName
from handlers import validation
from handlers.decision import Verdict
from tests.exactly_once.planted import FAULTS
from tests.exactly_once.test_faults import SPOILT
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


@pytest.mark.parametrize("heading", ["Install and run", "Where to find what", "Documentation"])
def test_the_readme_lists_nothing_twice(heading: str) -> None:
    section = (ROOT / "README.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = Counts(line for line in section.splitlines() if line.startswith("| "))
    assert rows
    assert [row for row, count in rows.items() if count > 1] == []


def test_the_pages_say_how_many_planted_faults_are_found() -> None:
    number = len(FAULTS) + len(SPOILT)
    assert f"finds {number} of {number}" in (ROOT / "README.md").read_text()
    assert f"{number} of {number} found" in (ROOT / "docs" / "guarantees.md").read_text()


def list_dependency_rows() -> list[list[str]]:
    """List the rows of the tables of what can happen to a dependency, by their cells."""
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("## What can happen to its dependencies")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] != "What happens"]


def test_the_tables_of_dependencies_have_rows_of_six_cells() -> None:
    rows = list_dependency_rows()
    assert len(rows) > 110
    assert [row for row in rows if len(row) != 6] == []


@pytest.mark.parametrize("row", list_dependency_rows(), ids=lambda row: row[0])
def test_every_row_of_a_dependency_names_what_shows_it(row: list[str]) -> None:
    """A row names a test, a disturbance of the chaos runs or a crash point, and each that it names is there."""
    source = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    shown_by = row[-1]
    tests = re.findall(r"`(test_\w+)`", shown_by)
    chaos = re.findall(r"chaos: \*([^*]+)\*", shown_by)
    points = re.findall(r"crash points? \*([^*]+)\*", shown_by)
    assert tests or chaos or points
    assert [name for name in tests if f"def {name}(" not in source] == []
    assert [kind for kind in chaos if f'"{kind}"' not in source] == []
    assert [point for point in points if f'"{point}"' not in source] == []


def test_the_operations_page_lists_every_metric_and_nothing_else() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    listed = {
        (found[1].removesuffix("_total"), found[2], found[3])
        for found in re.finditer(r"^\| `(budget_bridge_\w+)` \| (\w+) \| ([^|]*?) ?\|", page, re.MULTILINE)
    }
    there = [one for module in (log_writer, metrics, watch_metrics) for one in vars(module).values()]
    ours = [one for one in there if isinstance(one, (Counter, Gauge, Histogram))]
    assert listed == {(one._name, one._type, ", ".join(f"`{label}`" for label in one._labelnames)) for one in ours}
