"""What the benchmark computes and writes, on figures that are made up; measuring itself needs servers."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from bench import check
from bench.capacity import Each, compute_needs
from bench.cpu import Processes
from bench.harness import Load, Program
from bench.load import hash_content, write_acceptance, write_lock
from bench.measuring import ProgramStuckError, Sample, evaluate
from bench.page import list_aims, write_pages
from bench.parts import desk, latency, relay, scale
from bench.parts.path import FLOOR, NAIVE, NAME
from bench.parts.relay import DEBEZIUM, OURS, POLLING
from bench.plots import Row, draw_bars
from bench.results import Latency, Part, Results, Run, read_results, write_results
from bench.yardstick import measure_yardstick, work

MACHINE = {"cores": "2", "memory": "24 GB", "python": "3.11.7", "commit": "abc1234"}


def run(name: str, rate: float = 1000.0, cpu_ms: float = 0.5, megabytes: float = 90.0) -> Run:
    cpu = {"program": cpu_ms, "kafka": 0.2, "postgres": 0.3}
    written = {"database": 9000.0, "wal": 12000.0, "kafka": 8000.0}
    return Run(name, 1000, round(1000 / rate, 4), cpu, megabytes, bytes_written=written)


def part(*runs: Run, latencies: tuple[Latency, ...] = ()) -> Part:
    return Part(list(runs), list(latencies), {}, 60.0, MACHINE, "python -m bench")


@pytest.fixture
def results() -> Results:
    scaled = [run(scale.count(lines, "lines"), cpu_ms=lines * 0.01) for lines in scale.LINES]
    scaled += [run(scale.count(number, "partitions")) for number in scale.PARTITIONS]
    scaled += [
        run("1 worker"),
        run("2 workers", 1600.0),
        run("4 workers"),
        run("0 rows of history"),
        run("1,000 rows of history"),
    ]
    scaled += [
        run("one hot budget"),
        run("one hot budget, snapshot held"),
        run(scale.NO_SNAPSHOT),
        run(scale.SNAPSHOT),
        run(scale.UNSIGNED),
        run(scale.SIGNED),
        run("100,000 messages waiting"),
    ]
    relays = [run(OURS, 9000.0), run(OURS + relay.HELD, 8900.0), run(POLLING, 4000.0), run(DEBEZIUM, 2500.0)]
    return {
        "path": part(run(NAME, 3000.0), run(FLOOR, 3600.0), run(NAIVE.name, 150.0)),
        "latency": part(
            latencies=(
                Latency(latency.LONE_LOCK, [10.0, 11.0, 12.0]),
                Latency(latency.HALF_LOAD, [20.0, 30.0, 120.0]),
                Latency(latency.PUBLISHED, [5.0]),
            )
        ),
        "peers": part(run(NAME, 3000.0), run("FastStream, concurrent", 200.0), run(NAIVE.name, 150.0)),
        "relay": part(*relays, latencies=(Latency(DEBEZIUM, [20.0]), Latency(POLLING, [11.0]))),
        "scale": part(*scaled),
        "desk": part(latencies=(Latency(desk.LARGE + desk.FIRST_BYTE, [80.0, 90.0, 300.0]),)),
    }


def test_results_are_read_as_they_were_written(results: Results, tmp_path: Path) -> None:
    write_results(results, tmp_path)
    assert read_results(tmp_path) == results


def test_nothing_measured_is_no_result(tmp_path: Path) -> None:
    assert read_results(tmp_path) == {}


def test_the_pages_have_every_part_and_their_plots_are_there(results: Results, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (tmp_path / "README.md").write_text("<!-- speed: x -->\nold\n<!-- end of speed -->\nrest\n")
    write_pages(results, docs)
    page = (docs / "benchmarks.md").read_text()
    for each in results.values():
        for name in each.names():
            assert f"| {name} |" in page
    for plot in (docs / "benchmarks").glob("*.svg"):
        assert f"(benchmarks/{plot.name})" in page
        ET.fromstring(plot.read_text())
    assert "1,000 messages/s" in (docs / "capacity.md").read_text()
    readme = (tmp_path / "README.md").read_text()
    assert "**3,000 messages/s**" in readme
    assert "**20 times**" in readme
    assert readme.endswith("<!-- end of speed -->\nrest\n")


def test_a_part_that_was_not_measured_is_left_out(results: Results, tmp_path: Path) -> None:
    write_pages({"path": results["path"]}, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    assert "## The whole path" in page
    assert "## Scale" not in page
    assert "Nothing is measured yet" in (tmp_path / "capacity.md").read_text()


def test_a_peer_that_cannot_be_run_is_named_with_the_reason(results: Results, tmp_path: Path) -> None:
    results["peers"].notes["Faust, exactly once"] = "it sends nothing\nTraceback"
    write_pages(results, tmp_path)
    assert "- **Faust, exactly once** could not be run: it sends nothing\n" in (tmp_path / "benchmarks.md").read_text()


def test_aims_are_judged_in_their_direction(results: Results, tmp_path: Path) -> None:
    write_pages(results, tmp_path)
    rows = (tmp_path / "benchmarks.md").read_text().splitlines()
    assert "| worker / floor | 0.83 | at least 0.75 | reached |" in rows
    assert "| half load, p99 | 120 ms | at most 100 ms | **missed** |" in rows
    assert len(list_aims(results)) == 16


def test_the_warm_up_does_not_count() -> None:
    # 20 % in the first second, while the program starts; then 40 % a second.
    samples = [
        Sample(float(second), visible, {"program": second * 0.5}, 10.0 * second)
        for second, visible in enumerate([0, 200, 600, 1000, 1000])
    ]
    found = evaluate("x", samples, Counter(), expected=1000, each=2)
    assert (found.messages, found.seconds, found.cpu_seconds) == (400, 2.0, {"program": 1.0})
    assert found.rate == 200.0
    assert found.cpu_ms("program") == 2.5
    assert found.peak_megabytes == 40.0


def test_what_is_missing_or_there_twice_is_counted() -> None:
    samples = [Sample(0.0, 1, {}, 0.0), Sample(1.0, 3, {}, 0.0)]
    found = evaluate("x", samples, Counter({b"a": 2, b"b": 1}), expected=3, each=1)
    assert (found.missing, found.repeated) == (1, 1)


def test_a_load_that_is_over_at_once_is_no_measurement() -> None:
    with pytest.raises(ProgramStuckError, match="first look"):
        evaluate("x", [Sample(0.0, 1, {}, 0.0)], Counter(), expected=1, each=1)


def test_cpu_of_a_parent_includes_its_children_also_those_that_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass\n"
    child = subprocess.Popen([sys.executable, "-c", burn + "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    alone = Processes({"program": [os.getpid()]})
    parent = Processes({"program": [os.getpid()]}, parents=frozenset({"program"}))
    before = alone.read_cpu()["program"]
    while parent.read_cpu()["program"] - alone.read_cpu()["program"] < 0.1:
        pass
    child.communicate(b"\n")
    assert alone.read_cpu()["program"] > before + 0.1
    assert alone.read_megabytes("program") > 1


def test_the_yardstick_never_changes() -> None:
    """Whoever changes it has to record the figure in bench/baseline.json again."""
    assert work() == "f78cc7c9-c686-5936-86e9-991bf14d4e73"
    assert measure_yardstick() > 0


class FakeBench:
    """Costs a message so many milliseconds."""

    def __init__(self, cost_ms: float) -> None:
        self._cost_ms = cost_ms

    def size(self, budgets: int) -> int:
        return budgets

    async def prepare(self, budgets: int) -> "FakeBench":
        return self

    async def send_locks(self) -> int:
        return 1000

    async def send_acceptances(self) -> int:
        return 1000

    async def carry_on(self, deployment: "FakeBench", load: Load, program: Program) -> Run:
        return Run(load.name, load.messages, 1.0, {"program": self._cost_ms}, 90.0)


@pytest.mark.parametrize(("cost_ms", "code"), [(1.0, 0), (1.24, 0), (1.26, 1), (0.5, 0)])
async def test_a_message_that_costs_a_quarter_more_fails(
    cost_ms: float, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(check, "BASELINE", tmp_path / "baseline.json")
    monkeypatch.setattr(check, "measure_yardstick", lambda: 0.1)
    assert await check.check_cost(FakeBench(1.0), record=True) == 0  # type: ignore[arg-type]
    assert await check.check_cost(FakeBench(cost_ms), record=False) == code  # type: ignore[arg-type]


def test_bars_are_stacked_and_labelled_with_their_sum() -> None:
    root = ET.fromstring(draw_bars("Cost & rate", "ms", [Row("a < b", (1.0, 2.0)), Row("c", (1.5, 0.0))], ["x", "y"]))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["Cost & rate (ms)", "a < b", "3.00", "c", "1.50", "x", "y"]


def test_needs_grow_with_the_load() -> None:
    written = {"database": 9000.0, "wal": 12000.0, "kafka": 8000.0}
    needs = compute_needs(10_000, Each(1200.0, 3000.0, 2000.0), written, 700.0)
    assert (needs["workers"], needs["partitions"], needs["broker cores"]) == ("9", "18", "10")
    assert (needs["database cores"], needs["databases"], needs["log of Postgres"]) == ("5", "1", "120 MB/s")


def test_amounts_differ_between_versions_and_acceptances_name_their_content() -> None:
    assert write_lock(1, 1) != write_lock(1, 2)
    assert hash_content(1, 2000).encode() in write_acceptance(1, 2000)
