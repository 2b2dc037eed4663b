"""The page of the watch: what others wrote is shown as it is, and nothing of it acts."""

from worker.watch.budget_checks import Finding
from worker.watch.findings_page import write_findings, write_page


def test_what_others_wrote_is_no_markup_and_hides_nothing() -> None:
    written = "<script>alert(1)</script> \x1b[2J \u202e \u200b [/b]"
    page = write_page([Finding("repeated_export", written, 1, written)], 1, {written: 3}, 0)
    assert "<script>" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt; \\x1b[2J \\u202e \\u200b [/b]") == 3


def test_a_time_that_no_calendar_has_is_shown_as_the_last_that_one_has() -> None:
    far = Finding("repeated_export", "1/1/1", 2**62, "")
    assert "9999-12-31" in write_page([far], 2**62, {}, 0)
    assert write_findings([far, far._replace(since_ms=-5)])[1]["since"].startswith("1970-01-01")


def test_one_record_is_one_and_a_thousand_findings_are_enough() -> None:
    assert "1 record could not be read and is not part" in write_page([], 1, {}, 1)
    page = write_page([Finding("repeated_export", "1/1/1", 1, "")] * 1001, 1, {}, 0)
    assert "1,001 findings" in page
    assert "Only the latest 1,000 are shown" in page
