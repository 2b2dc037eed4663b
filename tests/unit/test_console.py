"""The console: text of others is printed as it is, made harmless, and never cut."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from worker.console import Console, escape_text

AN_ID = "0c9f5d43-1111-5222-8333-444455556666"


def print_to_text(width: int = 80) -> tuple[Console, io.StringIO]:
    console, out = Console(), io.StringIO()
    console.file, console.width = out, width
    return console, out


@pytest.mark.parametrize("text", ["[/b]", "[bold]x[/bold]", "urn:id:55:key:a", ":warning:", "[link=x]y", "é ü 日本 ½"])
def test_no_markup_and_no_emoji_code_is_interpreted(text: str) -> None:
    console, out = print_to_text()
    console.print_line(text)
    console.print_text(text)
    console.print_table((text,), [(text,)])
    table = Table(text)
    table.add_row(text)
    console.print(table)
    assert out.getvalue().count(text) == 6


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb", r"a\u202eb"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("a\u2066b\u2069", r"a\u2066b\u2069"),
        ("a\rb\x08\x00", r"a\rb\x08\x00"),
        ("\U000e0041", r"\U000e0041"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_controls_a_terminal_is_shown_as_an_escape(text: str, shown: str) -> None:
    console, out = print_to_text()
    console.print_line(text)
    console.print_text(text)
    console.print(text)
    console.print_table((), [(text, "x")])
    assert out.getvalue() == f"{shown}\n{shown}\n{shown}\n{shown}  x\n"


def test_a_line_of_somebody_else_stays_one_line() -> None:
    console, out = print_to_text()
    console.print_line("reason\nERROR: run this")
    console.print_table((), [("a\nb", "c\td")])
    assert out.getvalue() == "reason\\nERROR: run this\na\\nb  c\\td\n"
    assert escape_text("a\nb", keep="\n") == "a\nb"


@pytest.mark.parametrize("width", [20, 80, 200])
def test_ids_and_figures_are_never_cut_or_wrapped(width: int) -> None:
    console, out = print_to_text(width)
    long = "x" * 300
    console.print_table(("id", "what", "count"), [(AN_ID, long, "123456"), (AN_ID, "日本", "7")])
    lines = out.getvalue().splitlines()
    assert lines[1] == f"{AN_ID}  {long}  123456"
    assert lines[2].split() == [AN_ID, "日本", "7"]
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_no_encoding_of_the_terminal_makes_a_command_fail(encoding: str) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": encoding, "PYTHONPATH": str(Path.cwd())}
    environment |= {"RULES_DIR": "/nowhere/日本→é", "DATABASE_URL": "", "KAFKA_BOOTSTRAP": ""}
    done = subprocess.run(
        [sys.executable, "-m", "worker", "doctor"], env=environment, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert rb"\u65e5\u672c" in done.stdout
