"""The rules as values: policies, jobs, phases, cost types, approvers and signers, which accounting decides in advance.

This class is the one description of the rules: ``RULES_DIR`` is read and the database is written by its fields, and a
field's default is what both assume where a value is missing. The files are read and checked in the worker.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from contracts.fields import PriceMethod
from contracts.signature.keys import PublicKey
from contracts.text import fold_text
from handlers.signers import Signer, Word

SECTION: Final = "section"
"""The key under which a policy's metadata names its section of ``rules.toml``; what is no policy has none."""

_KEY: Final = "key"
"""The key under which it names its own key there, where that is not the name of the field."""

_APPROVAL: Final = {SECTION: "approval"}
_EXPORT: Final = {SECTION: "export"}
_WAITING: Final = {SECTION: "waiting"}
_READBACK: Final = {SECTION: "readback"}
_IMPORT: Final = {SECTION: "import"}
_SIGNATURES: Final = {SECTION: "signatures"}


DEFAULT_PRICE_METHOD: Final[PriceMethod] = "J"
"""The job's own, for a cost type for which no other is known."""


class Job(NamedTuple):
    """Where a project's budget belongs in Spectrum."""

    company_code: str
    job_number: str
    first_reference: int = 1
    """The number in the first change reference, for a job that another project has used."""


class Phase(NamedTuple):
    """What a cost code is called in Spectrum; a description here wins over the lines' own."""

    phase_code: str
    description: str | None
    preferred: bool = False
    """The one of several cost codes with this phase that an import takes."""


class CostType(NamedTuple):
    """What a cost type is called in Spectrum, and how it is priced."""

    spectrum_cost_type: str
    price_method_code: PriceMethod
    preferred: bool = False
    """The one of several cost types with this one of Spectrum that an import takes."""


@lru_cache(maxsize=1024)
def fold_user(user: str) -> str:
    """Fold a user into the form in which users are compared, so that another spelling is not another person."""
    return fold_text(user)


@dataclass(frozen=True, slots=True)
class Rules:
    """One version of the rules; every history row names the one that it was decided by."""

    jobs: Mapping[tuple[int, int], Job] = field(default_factory=dict)
    """The job of each project, by company and project id."""
    phases: Mapping[str, Phase] = field(default_factory=dict)
    """By cost code."""
    cost_types: Mapping[str, CostType] = field(default_factory=dict)
    approvers: Mapping[tuple[int, int | None], frozenset[str]] = field(default_factory=dict)
    """Folded users by company and project; no project means the whole company."""
    signing_keys: Mapping[str, PublicKey] = field(default_factory=dict)
    """By kid."""
    signers: tuple[Signer, ...] = ()
    """What each of these keys may sign; one without a row signs nothing."""

    four_eyes: bool = field(default=True, metadata=_APPROVAL)
    require_content_hash: bool = field(default=True, metadata=_APPROVAL)
    unknown_sender: Literal["refuse", "allow"] = field(default="refuse", metadata=_APPROVAL)
    removed_lines: Literal["zero", "block"] = field(default="zero", metadata=_EXPORT)
    long_descriptions: Literal["reject", "shorten"] = field(default="shorten", metadata=_EXPORT)
    quantities: bool = field(default=False, metadata=_EXPORT)
    acknowledgement_deadline: timedelta = field(default=timedelta(hours=4), metadata=_EXPORT)
    parked_expiry: timedelta = field(default=timedelta(days=7), metadata=_WAITING)
    parked_limit: int = field(default=20, metadata=_WAITING)
    after_success: bool = field(default=True, metadata=_READBACK)
    every: timedelta | None = field(default=timedelta(days=1), metadata=_READBACK)
    """How often Spectrum is read by itself; ``None`` for never."""
    snapshot_deadline: timedelta = field(default=timedelta(hours=1), metadata=_READBACK)
    stale_after: timedelta = field(default=timedelta(days=7), metadata=_READBACK)
    open_drift: Literal["notice", "block"] = field(default="notice", metadata=_READBACK)
    acknowledges: Literal["no", "success"] = field(default="no", metadata=_READBACK)
    expiry: timedelta = field(default=timedelta(days=1), metadata=_IMPORT)
    """How long an import may wait for the ERP side, and then for the project side."""
    unmapped: Literal["refuse", "offer"] = field(default="refuse", metadata=_IMPORT)
    """Whether an import offers lines for which the project side has no code."""
    signatures_required: frozenset[Word] = field(default=frozenset(), metadata=_SIGNATURES | {_KEY: "require"})
    signature_max_age: timedelta = field(default=timedelta(days=3), metadata=_SIGNATURES | {_KEY: "max_age"})
    """How long after its signing a message may arrive."""

    def may_approve(self, user: str, company_id: int, project_id: int) -> bool:
        """Check whether the user is among the approvers of the project or of its company."""
        folded = fold_user(user)
        return any(folded in self.approvers.get((company_id, project), frozenset()) for project in (project_id, None))


def name_policy(policy: Field[Any]) -> tuple[str, str]:
    """Name the section and the key of ``rules.toml`` that a field of ``Rules`` is read from."""
    return policy.metadata[SECTION], policy.metadata.get(_KEY, policy.name)
