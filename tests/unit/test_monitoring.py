"""Alerts, dashboard and runbook name what the code has: metrics, labels, log events, and sentences for people."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from handlers.decision import Verdict
from worker.telemetry import log_writer, metrics
from worker.watch import metrics as watch_metrics

ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = ("contracts", "desk", "handlers", "outbox", "worker")
RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text()

OF_PROMETHEUS: Final = frozenset({"instance", "job"})
"""Labels that the scrape gives."""


def list_metrics() -> dict[str, frozenset[str]]:
    """List every series that a worker or the watch serves, with its labels."""
    found: dict[str, frozenset[str]] = {}
    for module in (log_writer, metrics, watch_metrics):
        for one in vars(module).values():
            labels = frozenset(getattr(one, "_labelnames", ()))
            if isinstance(one, Counter):
                found[f"{one._name}_total"] = labels
            elif isinstance(one, Gauge):
                found[one._name] = labels
            elif isinstance(one, Histogram):
                found |= {f"{one._name}_count": labels, f"{one._name}_sum": labels}
                found[f"{one._name}_bucket"] = labels | {"le"}
    return found


def read_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "monitoring" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def read_panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads((ROOT / "monitoring" / "dashboard.json").read_text())["panels"]
    return panels


def list_expressions() -> list[str]:
    alerts = [rule["expr"] for rule in read_rules()]
    return alerts + [target["expr"] for panel in read_panels() for target in panel.get("targets", ())]


def slug(heading: str) -> str:
    """Name a heading's anchor as GitHub does."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def list_headings(page: str) -> list[str]:
    return re.findall(r"^#{1,6} (.+)$", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)


@pytest.mark.parametrize("expression", list_expressions())
def test_alerts_and_panels_use_metrics_and_labels_that_there_are(expression: str) -> None:
    metrics = list_metrics()
    named = set(re.findall(r"\bbudget_bridge_\w+", expression))
    assert named or re.search(r"\bup\{", expression)
    assert named <= metrics.keys()
    for name, selector in re.findall(r"\b(budget_bridge_\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) <= metrics[name] | OF_PROMETHEUS
    allowed = OF_PROMETHEUS.union(*(metrics[name] for name in named))
    for listed in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expression):
        assert {label.strip() for label in listed.split(",") if label.strip()} <= allowed


def test_every_alert_says_how_bad_it_is_what_it_is_and_where_it_is_explained() -> None:
    rules = read_rules()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{slug(rule['alert'])}"
        for text in rule["annotations"].values():
            for label in re.findall(r"\$labels\.(\w+)", text):
                kept = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
                assert not kept or any(label in one for one in kept), rule["alert"]


def test_every_alert_has_a_section_in_the_runbook_and_every_section_an_alert() -> None:
    alerts = RUNBOOK.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^#+ (BudgetBridge\w+)$", alerts, re.MULTILINE) == [rule["alert"] for rule in read_rules()]
    assert RUNBOOK.count("### BudgetBridge") == len(read_rules())


def test_links_within_the_runbook_lead_somewhere() -> None:
    anchors = [slug(heading) for heading in list_headings(RUNBOOK)]
    assert len(set(anchors)) == len(anchors)
    for text, anchor in re.findall(r"\[([^\]]+)\]\(#([^)]+)\)", RUNBOOK):
        assert anchor in anchors, text
    for page, anchor in re.findall(r"\]\((\w+\.md)#([^)]+)\)", RUNBOOK):
        assert anchor in map(slug, list_headings((ROOT / "docs" / page).read_text())), anchor


def test_the_dashboard_can_be_read() -> None:
    panels = read_panels()
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["title"]
            assert panel["description"]
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert all(one["datasource"]["uid"] == "${datasource}" for one in [panel, *panel["targets"]])


# --- what is logged

WARNINGS: Final = frozenset({"warning", "error", "exception", "critical"})

FILLED: Final[Mapping[str, tuple[str, ...]]] = {
    "entry.verdict": (Verdict.DEAD_LETTERED, Verdict.HELD, Verdict.IGNORED, Verdict.APPLIED, Verdict.REFUSED),
}
"""What stands for a placeholder in the name of an event that can be a warning."""


def list_sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        yield path, ast.parse(path.read_text())


def list_outages() -> tuple[str, ...]:
    """List what an ``Outage`` can be of, which is the first half of its events; a breaker gives its own on."""
    found: set[str] = set()
    for path, tree in list_sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"Outage", "Breaker"}:
                name = node.args[1 if node.func.id == "Outage" else 0]
                if ast.unparse(name) == "dependency":
                    continue
                assert isinstance(name, ast.Constant), f"{path.name}, line {node.lineno}: name the outage in full"
                found.add(str(name.value))
    return tuple(found)


def is_warning(func: ast.expr, aliases: set[str]) -> bool:
    if isinstance(func, ast.Name):
        return func.id in aliases
    return isinstance(func, ast.Attribute) and func.attr in WARNINGS and ast.unparse(func.value).endswith("log")


def list_warnings() -> set[str]:
    """List the events that are logged as a warning or worse."""
    filled = {**FILLED, "self._what": list_outages()}
    found: set[str] = set()
    for path, tree in list_sources():
        aliases = {
            target.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and any(is_warning(one, set()) for one in ast.walk(node.value))  # type: ignore[arg-type]
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and is_warning(node.func, aliases) and node.args):
                continue
            event = node.args[0]
            if isinstance(event, ast.Constant):
                found.add(str(event.value))
                continue
            assert isinstance(event, ast.JoinedStr), f"{path.name}, line {node.lineno}: name the event in full"
            names = [""]
            for part in event.values:
                texts: tuple[str, ...] = (str(part.value),) if isinstance(part, ast.Constant) else ()
                if isinstance(part, ast.FormattedValue):
                    texts = filled[ast.unparse(part.value)]
                names = [name + text for name in names for text in texts]
            found.update(names)
    return found


def test_the_events_that_are_warnings_are_found() -> None:
    assert {"lane.refused", "task.failed", "batch.failed", "kafka.lost", "message.held"} <= list_warnings()


@pytest.mark.parametrize("event", sorted(list_warnings()))
def test_the_runbook_explains_every_event_that_is_a_warning(event: str) -> None:
    assert f"`{event}`" in RUNBOOK


# --- sentences for people

WITH_SENTENCES: Final = (
    "worker/pipeline/lane_check.py",
    "worker/app.py",
    "worker/deployment.py",
    "worker/preparation.py",
    "outbox/migrate.py",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "worker" / "recover").glob("*.py")),
)


def list_sentences() -> Iterator[str]:
    """List the longest piece of each sentence that stops a lane, the worker or a recovery."""
    for name in WITH_SENTENCES:
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in {"message", "problem", "way_out"}):
                continue
            parts = node.value.values if isinstance(node.value, ast.JoinedStr) else [node.value]
            yield max((str(part.value) for part in parts if isinstance(part, ast.Constant)), key=len, default="")


@pytest.mark.parametrize("sentence", sorted(set(list_sentences())))
def test_the_runbook_has_every_sentence_that_stops_something(sentence: str) -> None:
    def smooth(text: str) -> str:
        return " ".join(re.sub(r"[`\\]", "", text).split()).strip(" ;,:()")

    assert smooth(sentence)[:60] in smooth(RUNBOOK)
