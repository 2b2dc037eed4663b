"""The ERP side of the demo: rules 7 and 8, what Spectrum does not take, and what its readers see."""

from uuid import UUID

import pytest

from contracts.erp_snapshot import ErpSnapshot
from demo.spectrum import (
    ApplyResult,
    ApprovalClaim,
    HeldLine,
    LineKey,
    ReceivedExport,
    ReceivedLine,
    Spectrum,
    SpectrumJob,
    finish,
)
from demo.spectrum_accounting import request_change, run_project_setup, set_current_from_original
from demo.spectrum_snapshot import Reader

JOB = SpectrumJob("001", "26-1001")
BUDGET = (4211, 90071, 55210)
CONCRETE = LineKey("03300", "M")
STEEL = LineKey("05120", "S")
AT = "2026-11-25T08:00:00Z"


def apply(spectrum: Spectrum, number: int = 1, date: str = "2026-11-24", **amounts: tuple[str, str]) -> ApplyResult:
    """Apply an export of some lines, each given as original and revision."""
    lines = tuple(
        ReceivedLine(
            key=LineKey(name[1:], name[0]),
            description=name,
            original=read_cents(original),
            revision=read_cents(revision),
            price_method_code="T",
            quantity=None,
            unit=None,
            change="add",
            keep_description=False,
        )
        for name, (original, revision) in amounts.items()
    )
    export_id, reference = str(UUID(int=number)), f"B{number:07d}"
    claim = ApprovalClaim("USD", "ann", 0, None, None)
    export = ReceivedExport(BUDGET, number, export_id, None, number, 1, reference, date, JOB, lines, claim)
    return finish(spectrum.apply(export))


@pytest.fixture
def spectrum() -> Spectrum:
    """Spectrum with two lines of the bridge, and a change request of others."""
    spectrum = Spectrum()
    assert apply(spectrum, M03300=("312500.00", "2500.00"), S05120=("640000.00", "0.00")).status == "success"
    request_change(spectrum.jobs[JOB][CONCRETE], "CR-77", 20_000_00, recognised=True)
    return spectrum


def read_cents(amount: str) -> int:
    return int(amount.replace(".", ""))


def read(spectrum: Spectrum, reader: Reader | None = None) -> list[ErpSnapshot]:
    pages = (reader or Reader()).read(spectrum, BUDGET, JOB, "s1", AT)
    return [ErpSnapshot.model_validate(page) for page in pages]


def list_figures(spectrum: Spectrum, reader: Reader | None = None) -> dict[LineKey, tuple[int | None, ...]]:
    """Original, the bridge's revision, others' and current, by line."""
    return {
        LineKey(line.phase_code, line.cost_type): (
            line.original_estimate_cost,
            line.bridge_revision,
            line.other_revision,
            line.current_estimate_cost,
        )
        for page in read(spectrum, reader)
        for line in page.lines
    }


def test_a_snapshot_shows_what_was_exported_and_what_others_booked(spectrum: Spectrum) -> None:
    assert list_figures(spectrum) == {
        CONCRETE: (312_500_00, 2_500_00, 20_000_00, 335_000_00),
        STEEL: (640_000_00, 0, 0, 640_000_00),
    }
    (page,) = read(spectrum)
    assert (page.depth, page.complete, page.unposted, page.job_status) == ("full", True, False, "A")
    assert (page.line_count, page.total_original, page.total_current) == (2, 952_500_00, 975_000_00)
    assert page.last_begun
    assert (page.last_begun.export_id, page.last_begun.attempt, page.last_begun.whole) == (UUID(int=1), 1, True)


def test_rule_7_a_current_estimate_that_was_typed_over_becomes_the_sum_again(spectrum: Spectrum) -> None:
    set_current_from_original(spectrum.jobs[JOB].values())
    assert list_figures(spectrum)[CONCRETE] == (312_500_00, 2_500_00, 20_000_00, 312_500_00)
    assert apply(spectrum, 2, M03300=("312500.00", "2500.00")).status == "success"
    assert list_figures(spectrum)[CONCRETE] == (312_500_00, 2_500_00, 20_000_00, 335_000_00)


def test_rule_7_a_current_estimate_that_cannot_be_written_fails_its_line(spectrum: Spectrum) -> None:
    spectrum.current_is_display_only = True
    result = apply(spectrum, 2, M03300=("312000.00", "3000.00"), S05120=("640000.00", "1.00"), L01500=("5.00", "0.00"))
    assert (result.status, [*result.refused]) == ("partial", [CONCRETE])
    assert result.refused[CONCRETE].column == "Current_Est_Cost"
    # A change request moves it all the same, so the other lines are right.
    assert list_figures(spectrum)[CONCRETE] == (312_000_00, 3_000_00, 20_000_00, 335_500_00)
    spectrum.jobs[JOB][CONCRETE].type_over(335_000_00)
    assert apply(spectrum, 3, M03300=("312000.00", "3000.00")).status == "success"


def test_rule_8_the_status_of_a_phase_is_kept(spectrum: Spectrum) -> None:
    spectrum.jobs[JOB][STEEL].status = "I"
    apply(spectrum, 2, S05120=("1.00", "0.00"))
    assert [line.status for line in read(spectrum)[0].lines] == ["A", "I"]


def test_a_complete_phase_takes_nothing_but_may_hold_what_is_exported(spectrum: Spectrum) -> None:
    spectrum.jobs[JOB][STEEL].status = "C"
    assert apply(spectrum, 2, M03300=("1.00", "0.00"), S05120=("640000.00", "0.00")).status == "success"
    result = apply(spectrum, 3, M03300=("2.00", "0.00"), S05120=("640000.01", "0.00"))
    assert (result.status, [*result.refused]) == ("partial", [STEEL])
    assert list_figures(spectrum)[STEEL][0] == 640_000_00


def test_a_complete_job_takes_nothing(spectrum: Spectrum) -> None:
    before = list_figures(spectrum)
    spectrum.complete_jobs.add(JOB)
    assert apply(spectrum, 2, S05120=("1.00", "0.00")).status == "failed"
    assert list_figures(spectrum) == before
    (page,) = read(spectrum)
    assert page.job_status == "C"
    assert page.last_begun
    assert page.last_begun.whole


@pytest.mark.parametrize(("date", "status"), [("2026-11-30", "partial"), ("2026-12-01", "success")])
def test_a_closed_period_takes_no_revision_but_an_effective_date_opens_the_way(
    spectrum: Spectrum, date: str, status: str
) -> None:
    spectrum.open_from = "2026-12-01"
    assert apply(spectrum, 2, date, M03300=("1.00", "2500.00"), S05120=("640000.00", "5.00")).status == status
    assert list_figures(spectrum)[CONCRETE][0] == 1_00


def test_project_setup_run_again_loses_the_revisions_of_the_current_estimate(spectrum: Spectrum) -> None:
    run_project_setup(spectrum.jobs[JOB], {CONCRETE: 300_000_00, LineKey("02310", "E"): 12_000_00})
    assert list_figures(spectrum) == {
        LineKey("02310", "E"): (12_000_00, 0, 0, 12_000_00),
        CONCRETE: (300_000_00, 2_500_00, 20_000_00, 300_000_00),
        STEEL: (640_000_00, 0, 0, 640_000_00),
    }


def test_a_change_request_that_the_site_does_not_recognise_does_not_count(spectrum: Spectrum) -> None:
    held = spectrum.jobs[JOB][CONCRETE]
    request_change(held, "CR-78", 900_00, recognised=False)
    assert list_figures(spectrum)[CONCRETE] == (312_500_00, 2_500_00, 20_000_00, 335_000_00)
    assert list_figures(spectrum, Reader(counts_proposed=True))[CONCRETE][2:] == (20_900_00, 335_000_00)
    held.type_over(300_000_00)
    request_change(held, "CR-79", 900_00, recognised=True)
    assert list_figures(spectrum)[CONCRETE][2:] == (20_900_00, 300_900_00)


@pytest.mark.parametrize(
    ("reader", "seen", "complete"),
    [
        (Reader(), [CONCRETE, STEEL], True),
        (Reader(skips_complete=True), [CONCRETE], False),
        (Reader(cost_center="EAST"), [STEEL], False),
        (Reader(cost_center="WEST"), [], False),
    ],
)
def test_a_reader_that_does_not_see_everything_says_so(
    spectrum: Spectrum, reader: Reader, seen: list[LineKey], *, complete: bool
) -> None:
    spectrum.jobs[JOB][STEEL].status = "C"
    spectrum.jobs[JOB][STEEL].cost_center = "EAST"
    assert [*list_figures(spectrum, reader)] == seen
    assert [page.complete for page in read(spectrum, reader)] == [complete]


def test_a_reader_by_getphase_sees_the_current_estimate_only(spectrum: Spectrum) -> None:
    assert list_figures(spectrum, Reader(current_only=True))[CONCRETE] == (None, None, None, 335_000_00)
    (page,) = read(spectrum, Reader(current_only=True))
    assert (page.depth, page.total_original) == ("current_only", None)


def test_padded_keys_are_those_that_spectrum_pads(spectrum: Spectrum) -> None:
    (written,) = Reader(pads_keys=True).read(spectrum, BUDGET, JOB, "s1", AT)
    assert (written["job_number"], written["lines"][0]["phase_code"]) == ("26-1001   ", "03300" + 15 * " ")
    assert list_figures(spectrum, Reader(pads_keys=True)) == list_figures(spectrum)


def test_pages_have_the_totals_of_all(spectrum: Spectrum) -> None:
    pages = read(spectrum, Reader(page_lines=1))
    assert [(page.page, page.pages, page.line_count, len(page.lines)) for page in pages] == [(1, 2, 2, 1), (2, 2, 2, 1)]
    assert {page.total_current for page in pages} == {975_000_00}


def test_costs_and_entries_that_are_not_posted_are_shown() -> None:
    spectrum = Spectrum(jobs={JOB: {STEEL: HeldLine(cost_to_date=4_150_05)}}, unposted_jobs={JOB})
    (page,) = read(spectrum)
    assert (page.unposted, page.last_begun, page.lines[0].job_to_date_cost) == (True, None, 4_150_05)
