"""How a connector reads what a job holds, for ``erp.snapshot``: the reference for rules 5 and 6 of the ERP side.

A ``Reader`` can lack what real ones lack: originals and revisions, complete phases, other cost centers. Its snapshots
say so, in `depth` and `complete`. It can also be wrong as they are: it pads keys, or counts change requests that the
site does not recognise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contracts.erp_snapshot import MAX_PAGE_LINES
from demo.spectrum import COMPLETE, HeldLine, Spectrum, SpectrumJob

_ACTIVE: Final = "A"


@dataclass(frozen=True, slots=True)
class Reader:
    """What a connector can see of Spectrum, and how it writes it."""

    current_only: bool = False
    """It reads by GetPhase alone, which has neither the original nor change requests."""
    skips_complete: bool = False
    """It leaves complete phases out, as GetPhase does unless it is told otherwise."""
    cost_center: str | None = None
    """It sees only the phases of this one, because its user may see no other; ``None`` is all of them."""
    counts_proposed: bool = False
    """It counts change requests that the site does not recognise yet."""
    pads_keys: bool = False
    """It passes keys on with the spaces that Spectrum pads them with."""
    page_lines: int = MAX_PAGE_LINES

    def read(
        self,
        spectrum: Spectrum,
        budget: tuple[int, int, int],
        job: SpectrumJob,
        snapshot_id: str,
        at: str,
        request_id: str | None = None,
    ) -> list[dict[str, Any]]:
        """Read a job while nothing is being written to it (rule 5); returns the data of each page.

        Args:
            spectrum: what is read.
            budget: the key that the request or an earlier export named.
            job: the job that is read.
            snapshot_id: of the snapshot.
            at: when, RFC 3339.
            request_id: of the request that it answers.
        """
        lines = list(self._list_lines(spectrum, job))
        pages = [lines[start : start + self.page_lines] for start in range(0, len(lines), self.page_lines)] or [[]]
        header = self._describe(spectrum, budget, job, lines) | {
            "request_id": request_id,
            "snapshot_id": snapshot_id,
            "pages": len(pages),
            "read_from": at,
            "read_to": at,
        }
        return [header | {"page": number, "lines": page} for number, page in enumerate(pages, 1)]

    def _describe(
        self, spectrum: Spectrum, budget: tuple[int, int, int], job: SpectrumJob, lines: Sequence[dict[str, Any]]
    ) -> dict[str, Any]:
        begun = spectrum.find_started(budget)
        return {
            **dict(zip(("company_id", "project_id", "budget_id"), budget, strict=True)),
            "company_code": job.company_code,
            "job_number": self._pad(job.job_number, 10),
            "job_status": COMPLETE if job in spectrum.complete_jobs else _ACTIVE,
            "depth": "current_only" if self.current_only else "full",
            "complete": not self.skips_complete and self.cost_center is None,
            "last_begun": begun and begun._asdict(),
            "unposted": job in spectrum.unposted_jobs,
            "line_count": len(lines),
            "total_original": None if self.current_only else _add_up(lines, "original_estimate_cost"),
            "total_current": _add_up(lines, "current_estimate_cost"),
        }

    def _list_lines(self, spectrum: Spectrum, job: SpectrumJob) -> Iterator[dict[str, Any]]:
        for key, line in sorted(spectrum.jobs.get(job, {}).items()):
            if not self._sees(line):
                continue
            others = sum(line.revisions.values()) - line.booked_by_bridge
            if self.counts_proposed:
                others += sum(line.proposed.values())
            yield {
                # Table JC_PHASE_MASTER_MC, by Info-Link or SQL; or web service GetPhase.
                "phase_code": self._pad(key.phase_code, 20),
                "cost_type": self._pad(key.cost_type, 3),
                "description": spectrum.descriptions.get((job, key.phase_code), ""),
                "status": line.status,
                # Table JC_PHASE_ESTIMATES_MC; GetPhase does not have it.
                "original_estimate_cost": None if self.current_only else write_amount(line.original),
                # Tables CR_CHNG_REQ_*_MC; GetPhase does not have them either.
                "bridge_revision": None if self.current_only else write_amount(line.booked_by_bridge),
                "other_revision": None if self.current_only else write_amount(others),
                # What GetPhase has, as JC_PHASE_ESTIMATES_MC does.
                "current_estimate_cost": write_amount(line.current),
                "job_to_date_cost": None if line.cost_to_date is None else write_amount(line.cost_to_date),
                "price_method_code": line.price_method_code or None,
            }

    def _sees(self, line: HeldLine) -> bool:
        if self.skips_complete and line.status == COMPLETE:
            return False
        return self.cost_center in {None, line.cost_center}

    def _pad(self, key: str, length: int) -> str:
        return key.ljust(length) if self.pads_keys else key


def write_amount(cents: int) -> str:
    """Write hundredths as a decimal with two places."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def _add_up(lines: Sequence[dict[str, Any]], name: str) -> str:
    return write_amount(sum(int(line[name].replace(".", "")) for line in lines))
