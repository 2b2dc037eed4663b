"""Nothing gets into a page unescaped, and the browser runs nothing but the desk's own files."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from starlette.datastructures import QueryParams

from desk.csv_text import protect_text
from desk.lines import Line
from desk.lines_view import View, read_view
from desk.money import read_cents, write_money
from desk.rendering import _ENVIRONMENT
from desk.times import write_age, write_moment, write_utc

DESK = Path(__file__).parents[2] / "desk"
TEMPLATES = sorted((DESK / "templates").glob("*.html"))
SOURCES = sorted(DESK.glob("*.py"))


@pytest.mark.parametrize("file", [*TEMPLATES, *SOURCES], ids=lambda file: file.name)
def test_nothing_is_put_into_a_page_unescaped(file: Path) -> None:
    text = file.read_text()
    for forbidden in ("|safe", "| safe", "Markup", "autoescape false", "autoescape=False", "markupsafe"):
        assert forbidden not in text, forbidden


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_a_page_has_no_script_or_style_of_its_own(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_every_table_has_a_caption_and_every_head_a_scope(file: Path) -> None:
    text = file.read_text()
    assert text.count("<table") == text.count("<caption")
    assert not re.search(r"<th(?![^>]*\bscope=)[\s>]", text)


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_every_template_can_be_read(file: Path) -> None:
    assert _ENVIRONMENT.get_template(file.name)


def test_a_template_escapes_what_others_wrote() -> None:
    template = _ENVIRONMENT.from_string('<p title="{{ text }}">{{ text }}</p>')
    assert "<script>" not in template.render(text="\"'><script>")


def test_the_scripts_put_no_markup_into_the_page() -> None:
    scripts = [file.read_text() for file in (DESK / "static").glob("*.js")]
    assert not any(word in text for text in scripts for word in ("innerHTML", "outerHTML", "insertAdjacent", "eval("))
    assert sum(text.count("\n") for text in scripts) <= 250


@pytest.mark.parametrize(
    ("cents", "numbers", "shown"),
    [
        (0, "1,234.56", "0.00"),
        (-5, "1,234.56", "-0.05"),
        (123456789, "1,234.56", "1,234,567.89"),
        (-123456789, "1.234,56", "-1.234.567,89"),
        (123456789, "1 234,56", "1\u00a0234\u00a0567,89"),
        (123456789, "1'234.56", "1'234'567.89"),
        (10**17 + 1, "1,234.56", "1,000,000,000,000,000.01"),
    ],
)
def test_amounts_are_written_with_integers_alone(cents: int, numbers: str, shown: str) -> None:
    assert write_money(cents, numbers) == shown  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "cents"), [("0.00", 0), ("-0.05", -5), ("1250.00", 125000), ("-99999999.99", -9999999999)]
)
def test_amounts_are_read_from_messages(text: str, cents: int) -> None:
    assert read_cents(text) == cents


def test_times_name_their_zone_and_ages_are_beside_them() -> None:
    at = datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert write_moment(at, ZoneInfo("Europe/Vienna")) == "2026-11-24 09:00 CET"
    assert write_utc(at) == "2026-11-24 08:00:00 UTC"
    ages = [write_age(timedelta(seconds=seconds)) for seconds in (-5, 59, 60, 7_200, 86_400, 86_400 * 40)]
    assert ages == ["less than a minute", "less than a minute", "1 minute", "2 hours", "1 day", "40 days"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1"])
def test_a_text_that_a_spreadsheet_would_run_is_quoted(text: str) -> None:
    assert protect_text(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "Concrete", "3-inch pipe", "'=1"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert protect_text(text) == text


def make_line(phase: str, change: str, amount: int) -> Line:
    return Line(phase, "L", "Beton é", amount, 0, 0, 0, change, None, None, None, None, ())  # type: ignore[arg-type]


def test_lines_are_chosen_and_sorted_by_the_address() -> None:
    view = read_view("/x", QueryParams("text=BETON&sort=-original&lines=set"), opens_on_changes=True)
    lines = (make_line("1", "same", 5), make_line("2", "set", 7), make_line("3", "set", 9))
    assert [line.phase for line in lines if view.shows(line)] == ["2", "3"]
    assert view.descends
    assert view.link(kind="all") == "/x?lines=all&text=BETON&sort=-original#lines"
    assert View("/x", "changed", "changed").link() == "/x#lines"


@pytest.mark.parametrize("query", ["lines=%3Cb%3E&sort=nonsense", "sort=-", "lines="])
def test_an_address_that_makes_no_sense_shows_the_usual(query: str) -> None:
    assert read_view("/x", QueryParams(query), opens_on_changes=False) == View("/x", "all", "all")
