"""Writes docs/benchmarks.md, docs/capacity.md, their plots and the figures in the README from the results."""

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from operator import methodcaller
from pathlib import Path
from typing import Final

from bench.capacity import write_capacity
from bench.parts import desk, latency, relay, scale
from bench.parts.path import FLOOR, NAIVE, NAME
from bench.peers.catalogue import PEERS
from bench.plots import Row, draw_bars, write_figure
from bench.results import Part, Results, Run

PROCESSES: Final = {"program": "program", "kafka": "Kafka", "postgres": "Postgres"}
_README: Final = re.compile(r"(<!-- speed: .*? -->\n).*?(<!-- end of speed -->)", re.DOTALL)

INTRODUCTION: Final = """\
# Benchmarks

<!-- Written by `python -m bench page` from benchmarks/results.json: change bench/page.py instead. -->

`make bench` measures all of this in one run on one machine and writes this page; `make bench BENCH="path latency"`
measures parts of it. On another machine all figures differ, and the ratios remain.

The load is budgets of 20 lines, each of its own project, locked and accepted: two messages in and four out for each
budget. There are 4 partitions per topic and one worker process. Kafka runs with full JVM compilation, and Postgres with
`fsync` and `wal_level = logical`, which one of the relays needs; both on the same machine. Everything waits in the
source topics when a program starts. The first fifth is warm-up and does not count; at the end everything that was sent
is read, and none may be missing or there twice. Figures are medians, with the lowest and the highest in brackets. CPU
is that of a process for one message.
"""


LEFT_OUT: Final = """\
## Tried and left out

Shares of the worker's CPU are estimates from measurements of the parts, unless they say otherwise.

- **uvloop**: no gain beyond the spread of the runs (three runs of the whole worker with it, and three without).
- **orjson** for messages, states and content hashes: 6 % of deciding and writing (a prototype, stage by stage in
  interleaved runs, the lowest of three). It writes five times as fast as pydantic, but naming the values of the lines,
  which either encoder needs, takes half of the time. That was before lines were written by columns, which took a third
  off. Not worth a second encoder.
- **orjson for the log**: 4.8 instead of 6.9 µs a line, 1 % of the worker.
- **One statement for history, budgets and outbox** instead of three `COPY`: 1.6 instead of 1.9 ms for a batch of one
  message, and 80 µs more of the worker's CPU for each message of a batch of 150.
- **Deciding in pieces**, between which the event loop does something else: no gain at half load in two runs, since no
  more than two lanes decide at a time.
- **Larger blocks from the allocator** (`MALLOC_TRIM_THRESHOLD_`, `PYTHONMALLOC`): no gain, because the worker has few
  page faults after its start.
- **States stored as rows without names**: as fast as the columns with names that are stored now, but a field in the
  middle would then be read as another one.
"""


MISSED = """\
Why those that are missed are missed, as far as it was found:

- **CPU of a message, worker / floor, worker / programs.** Half to three quarters of the worker's CPU go into deciding
  and writing out. It is spread over some fifty functions, none of which has a tenth of it (sampled), and four fifths of
  it are Python's interpreter, not a library. A line for an approver has 19 fields where it had 12 at e4ca10d.
- **Lone lock.** The eight statements of a batch's transaction follow each other, three of them `COPY` with two round
  trips each, and then comes Kafka's own commit.
- **Half load, p99.** See under [Latency](#latency).
- **Relay / polling relay.** Both spend their time in the same Kafka client. The deletes of the polling relay are
  Postgres's work, and cost it little while nothing holds a snapshot.
- **Relay / Debezium Server.** The ratio was between 2.1 and 3.0 in four runs on two machines.
- **Two workers / one.** The broker and the database have the same two cores.
- **CPU for a signature.** It follows the machine: 151 µs on one that was twice as fast.
"""

HALF_LOAD_LIMIT = (
    "Cores kept busy at half load: {busy}. All of these share the machine, and that is the limit: every batch has a "
    "fixed cost for the worker, the broker and the database, and at half load a batch has five to ten messages, not "
    "150. In one run that was sampled, a quarter of the worker's time went into deciding and half into its clients."
)


def write_pages(results: Results, docs: Path) -> None:
    """Write the pages; a part that was not measured is left out."""
    folder = docs / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    sections = [INTRODUCTION, write_aims(results), MISSED]
    writers: dict[str, Callable[[Part, Path], str]] = {
        "path": write_path,
        "latency": write_latency,
        "peers": write_peers,
        "relay": write_relay,
        "scale": write_scale,
        "desk": write_desk,
    }
    sections += [writers[name](results[name], folder) for name in writers if name in results]
    sections.append(LEFT_OUT)
    (docs / "benchmarks.md").write_text("\n".join(section.rstrip("\n") + "\n" for section in sections if section))
    (docs / "capacity.md").write_text(write_capacity(results))
    readme = docs.parent / "README.md"
    if readme.exists() and {"path", "latency"} <= results.keys():
        readme.write_text(_README.sub(lambda found: found[1] + write_speed(results) + found[2], readme.read_text()))


def write_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_spread(part: Part, name: str, of: Callable[[Run], float]) -> str:
    """Write a median with the lowest and the highest."""
    spread = part.summarize(name, of)
    if spread.lowest == spread.highest:
        return write_figure(spread.median)
    return f"{write_figure(spread.median)} ({write_figure(spread.lowest)} to {write_figure(spread.highest)})"


def write_origin(part: Part) -> str:
    """Write where and how a part was measured."""
    machine = part.machine
    return (
        f"Made by `{part.command}` in {part.seconds:,.0f} s on {machine['cores']} cores with "
        f"{machine['memory']}, Python {machine['python']}, commit {machine['commit']}.\n"
    )


def write_runs(part: Part, names: Sequence[str], unit: str = "messages/s") -> str:
    """Write rate, CPU by process and memory of each name."""
    head = ["", unit, *(f"CPU of {name}, ms" for name in PROCESSES.values()), "peak memory, MB"]
    rows = [
        [
            name,
            write_spread(part, name, lambda run: run.rate),
            *(write_spread(part, name, methodcaller("cpu_ms", process)) for process in PROCESSES),
            f"{part.summarize(name, lambda run: run.peak_megabytes).highest:.0f}",
        ]
        for name in names
    ]
    return write_table(head, rows)


def draw(part: Part, names: Sequence[str], folder: Path, file: str, title: str) -> str:
    """Draw rate and CPU of each name into two files; returns the links to them."""
    rates = draw_bars(f"{title}: rate", "messages/s", [Row(name, (part.rate(name),)) for name in names])
    costs = [Row(name, tuple(part.cpu_ms(name, process) for process in PROCESSES)) for name in names]
    (folder / f"{file}-rate.svg").write_text(rates)
    (folder / f"{file}-cpu.svg").write_text(draw_bars(f"{title}: CPU", "ms", costs, [*PROCESSES.values()]))
    return f"![{title}: rate](benchmarks/{file}-rate.svg)\n\n![{title}: CPU](benchmarks/{file}-cpu.svg)\n"


def write_faults(part: Part) -> str:
    """Write what was missing or there twice, if anything."""
    found = [run for run in part.runs if run.missing or run.repeated]
    return "".join(f"- {run.name}: {run.missing:,} missing, {run.repeated:,} there twice\n" for run in found)


def write_notes(part: Part) -> str:
    """Write what could not be run, with the first line of the reason."""
    return "".join(f"- **{name}** could not be run: {why.splitlines()[0]}\n" for name, why in part.notes.items())


def join(*parts: str) -> str:
    """Join paragraphs, without the empty ones."""
    return "\n".join(part for part in parts if part)


def wrap(text: str) -> str:
    """Wrap a paragraph as the other pages are."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"


def write_path(part: Part, folder: Path) -> str:
    """Write the section about the whole path."""
    names = [name for name in (NAME, FLOOR, NAIVE.name) if name in part.names()]
    others = [name for name in part.names() if name not in names]
    return join(
        "## The whole path\n",
        wrap(
            "The worker between two yardsticks: the *floor* ([bench/floor.py](../bench/floor.py)) has the same intake, "
            "batches, decoding and I/O, with one upsert for each key, and decides nothing. The *naive* worker "
            "([bench/peers/naive.py](../bench/peers/naive.py)) is what one would write first."
        ),
        write_runs(part, names + others),
        draw(part, names + others, folder, "path", "The whole path"),
        write_faults(part),
        write_origin(part),
    )


def write_latency(part: Part, folder: Path) -> str:
    """Write the section about latency."""
    names = list(dict.fromkeys(one.name for one in part.latencies))
    rows = []
    for name in names:
        found = part.latency(name)
        quantiles = [f"{found.quantile(share):.1f}" for share in (0.5, 0.95, 0.99)]
        rows.append([name, *(quantiles if len(found.milliseconds) > 3 else [quantiles[0], "", ""])])
    (folder / "latency.svg").write_text(
        draw_bars("Median latency", "ms", [Row(name, (part.latency(name).quantile(0.5),)) for name in names])
    )
    return join(
        "## Latency\n",
        wrap(
            "From the moment a lock is sent until a `read_committed` reader has its approval request. A *lone* lock "
            "meets an idle worker; at *half load* locks and the acceptances of earlier ones arrive evenly, "
            f"{part.notes.get(latency.HALF_LOAD, '')}."
        ),
        write_table(["", "p50, ms", "p95, ms", "p99, ms"], rows),
        "![Median latency](benchmarks/latency.svg)\n",
        wrap(HALF_LOAD_LIMIT.format(busy=part.notes[latency.BUSY])) if latency.BUSY in part.notes else "",
        write_origin(part),
    )


def write_peers(part: Part, folder: Path) -> str:
    """Write the section about other programs."""
    names = [name for name in (NAME, *(peer.name for peer in PEERS)) if name in part.names()]
    guarantees = {NAME: "each output once, in order, whatever ends when"} | {
        peer.name: peer.guarantee for peer in PEERS
    }
    return join(
        "## Programs that do the same job\n",
        wrap(
            "Each decides by the same core, writes the same tables in one transaction for each message, and sends the "
            "same records ([bench/peers](../bench/peers)). Those that can handle partitions side by side do."
        ),
        write_runs(part, names),
        draw(part, names, folder, "peers", "Programs that do the same job"),
        "What a crash does to the outputs:\n",
        write_table(["", "guarantee"], [[name, guarantees[name]] for name in names]),
        write_faults(part),
        write_notes(part),
        write_origin(part),
    )


def write_relay(part: Part, folder: Path) -> str:
    """Write the section about relays."""
    rows = []
    for name in (relay.POLLING, relay.DEBEZIUM):
        found = part.latency(name)
        if found.milliseconds:
            rows.append([name, *(f"{found.quantile(share):.1f}" for share in (0.5, 0.95, 0.99))])
    return join(
        "## The relay alone\n",
        wrap(
            "From rows of the outbox to Kafka. Ours reads them from the database, as a lane does after a crash; in the "
            "normal way it has them in memory. The polling relay "
            "([bench/peers/polling_relay.py](../bench/peers/polling_relay.py)) deletes with `FOR UPDATE SKIP LOCKED` "
            "and has an idempotent producer. [Debezium Server](../bench/peers/debezium.py) reads the log of Postgres. "
            "A *held snapshot* is a transaction that stays open: what is deleted or changed cannot be vacuumed."
        ),
        write_runs(part, part.names(), "rows/s"),
        draw(part, part.names(), folder, "relay", "The relay alone"),
        write_table(["", "guarantee"], [[name, guarantee] for name, guarantee in relay.GUARANTEES.items()]),
        "A lone row, from its commit until it is visible (ours: see *publishing* under Latency):\n" if rows else "",
        write_table(["", "p50, ms", "p95, ms", "p99, ms"], rows) if rows else "",
        write_notes(part),
        write_origin(part),
    )


def write_scale(part: Part, folder: Path) -> str:
    """Write the section about scale."""
    by_lines = [scale.count(lines, "lines") for lines in scale.LINES]
    return join(
        "## Scale\n",
        wrap(
            "The whole path with one thing changed. *History* is rows of earlier messages in history and outbox. A "
            "*hot budget* is locked again and again. A *snapshot held over a day* was there while each lane moved its "
            "position as often as a day of a batch a second does. *Signed* acceptances are verified, because the rules "
            "require it. *Acknowledgements* and *snapshots* are what Spectrum answers to exports of 20 lines. With "
            "messages *waiting*, the worker decides the first of them."
        ),
        write_runs(part, part.names()),
        draw(part, by_lines, folder, "lines", "Lines of a budget"),
        draw(part, [name for name in part.names() if name not in by_lines], folder, "scale", "Everything else"),
        write_faults(part),
        write_origin(part),
    )


def write_aims(results: Results) -> str:
    """Write what was aimed at, and whether it was reached."""
    rows = [
        [what, f"{write_figure(found)}{unit}", f"{'at least' if at_least else 'at most'} {aim:g}{unit}", verdict]
        for what, found, at_least, aim, unit in list_aims(results)
        for verdict in ["reached" if (found >= aim if at_least else found <= aim) else "**missed**"]
    ]
    return "## Aims\n\n" + write_table(["", "measured", "aim", ""], rows) if rows else ""


Aim = tuple[str, float, bool, float, str]


def write_desk(part: Part, folder: Path) -> str:  # noqa: ARG001 - as every section
    """Write the section about the desk."""
    rows = []
    for name in dict.fromkeys(one.name for one in part.latencies):
        found = part.latency(name)
        rows.append([name, *(f"{figure:.0f}" for figure in (found.quantile(0.5), max(found.milliseconds)))])
    return join(
        "## The desk\n",
        wrap(
            "Pages as a browser gets them, over HTTP and compressed, from one process beside Kafka and Postgres; the "
            f"slowest of {desk.LOADS} loads is mostly the first one, which has to read what the others remember."
        ),
        write_table(["", "p50, ms", "slowest, ms"], rows),
        "".join(f"- {name}: {note}\n" for name, note in part.notes.items()),
        write_origin(part),
    )


def list_aims(results: Results) -> list[Aim]:
    """List the aims that can be judged: what, the figure, whether more is better, the aim, its unit."""
    aims: list[Aim] = []
    if path := results.get("path"):
        aims.append(("worker / floor", path.rate(NAME) / path.rate(FLOOR), True, 0.75, ""))
        for name in path.names():
            if name.startswith("commit "):
                ratio = path.cpu_ms(NAME, "program") / path.cpu_ms(name, "program")
                aims.append((f"CPU of a message / the same at {name}", ratio, False, 0.4, ""))
    if peers := results.get("peers"):
        best = max(peers.rate(name) for name in peers.names() if name != NAME)
        aims.append(("worker / best program with a transaction per message", peers.rate(NAME) / best, True, 12, ""))
    if lone := results.get("latency"):
        aims += [
            ("lone lock, p50", lone.latency(latency.LONE_LOCK).quantile(0.5), False, 12, " ms"),
            ("half load, p99", lone.latency(latency.HALF_LOAD).quantile(0.99), False, 100, " ms"),
        ]
    aims += _list_relay_aims(results)
    if scaled := results.get("scale"):
        aims += _list_scale_aims(scaled)
    if pages := results.get("desk"):
        first = pages.latency(desk.LARGE + desk.FIRST_BYTE)
        aims.append(("the desk's page of 2,000 lines, first byte, p50", first.quantile(0.5), False, 250, " ms"))
    return aims


def _list_relay_aims(results: Results) -> list[Aim]:
    part = results.get("relay")
    if part is None:
        return []
    ours = part.rate(relay.OURS)
    aims: list[Aim] = [("relay / polling relay", ours / part.rate(relay.POLLING), True, 2, "")]
    if relay.DEBEZIUM in part.names():
        aims.append(("relay / Debezium Server", ours / part.rate(relay.DEBEZIUM), True, 3, ""))
        if lone := results.get("latency"):
            published = lone.latency(latency.PUBLISHED).quantile(0.5)
            ratio = published / part.latency(relay.DEBEZIUM).quantile(0.5)
            aims.append(("publishing a lone row / Debezium Server's p50", ratio, False, 1, ""))
    aims.append(("relay, snapshot held / without", part.rate(relay.OURS + relay.HELD) / ours, True, 0.9, ""))
    return aims


def _list_scale_aims(part: Part) -> list[Aim]:
    names = part.names()
    histories = [name for name in names if name.endswith("rows of history")]
    lines = sorted(scale.LINES, reverse=True)[:2]
    longest, long = (scale.count(number, "lines") for number in lines)
    per_line = [part.cpu_ms(scale.count(number, "lines"), "program") / number for number in lines]
    one, two, *_ = (part.rate(scale.count(number, "workers")) for number in scale.WORKERS)
    backlogs = [name for name in names if name.endswith("waiting")]
    cost = [part.cpu_ms(name, "program") + part.cpu_ms(name, "postgres") for name in histories]
    return [
        (f"cost with {histories[-1]} / with none", cost[-1] / cost[0], False, 1.1, ""),
        (f"cost of a line at {longest} / at {long}", per_line[0] / per_line[1], False, 1.1, ""),
        ("two workers / one", two / one, True, 1.5, ""),
        (
            "one hot budget, snapshot held / without",
            part.rate("one hot budget, snapshot held") / part.rate("one hot budget"),
            True,
            0.9,
            "",
        ),
        (
            "CPU for a signature, worker",
            (part.cpu_ms(scale.SIGNED, "program") - part.cpu_ms(scale.UNSIGNED, "program")) * 1000,
            False,
            200,
            " µs",
        ),
        (
            "after a day of batches, snapshot held / without",
            part.rate(scale.SNAPSHOT) / part.rate(scale.NO_SNAPSHOT),
            True,
            0.9,
            "",
        ),
        *(
            (
                f"peak memory, {waiting}",
                part.summarize(waiting, lambda run: run.peak_megabytes).highest,
                False,
                150,
                " MB",
            )
            for waiting in backlogs
        ),
    ]


SPEED: Final = """\
On a machine with {cores} cores, which also ran Kafka and Postgres, the worker carried **{rate:,.0f} messages/s** of
20-line budgets: **{naive:.0f} times** as many as a naive worker that handles one message at a time, and **{floor:.2f}**
of a program that does the same I/O and decides nothing. A lone lock was visible as an approval request after
**{lone:.1f} ms** (median).{memory}
"""


def write_speed(results: Results) -> str:
    """Write the README's paragraph."""
    path, memory = results["path"], ""
    if scaled := results.get("scale"):
        waiting = next(name for name in scaled.names() if name.endswith("waiting"))
        peak = scaled.summarize(waiting, lambda run: run.peak_megabytes).highest
        memory = f" Memory peaked at {peak:.0f} MB with {waiting}."
    return SPEED.format(
        cores=path.machine["cores"],
        rate=path.rate(NAME),
        naive=path.rate(NAME) / path.rate(NAIVE.name),
        floor=path.rate(NAME) / path.rate(FLOOR),
        lone=results["latency"].latency(latency.LONE_LOCK).quantile(0.5),
        memory=memory,
    )
