"""The keys of the demo's people, its Spectrum and its desk: made anew, listed in the rules, and required."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from contracts.drift import DriftDecision
from contracts.imports import ImportRequested
from contracts.inbound import ApprovalDecision, ErpAcknowledgement, ExportRetry
from contracts.json_text import write_json
from contracts.signature.keys import write_public_jwk
from contracts.signature.signing import PrivateKey, generate_key
from demo.scene import ACCOUNTANT, COMPANY, OPERATOR
from demo.spectrum_approvals import Approvals
from handlers.signers import ANYBODY
from worker.key_files import write_key_file
from worker.rules_files import read_rules

_ROWS: Final = {
    "accounting-demo": "decision",
    "operator-demo": "retry release reset",
    "spectrum-demo": "acknowledgement",
    "desk-demo": "decision retry release reset acknowledgement",
}
"""What each key may sign."""


class Keys(NamedTuple):
    """The private keys of those who sign."""

    accountant: PrivateKey
    operator: PrivateKey
    spectrum: PrivateKey
    desk: PrivateKey
    """Of ``python -m demo.desk``: it vouches for whomever it has let in."""

    @property
    def by_type(self) -> Mapping[str, PrivateKey]:
        """Who signs which type of message; the others are not signed."""
        return {
            ApprovalDecision.type: self.accountant,
            DriftDecision.type: self.accountant,
            ImportRequested.type: self.accountant,
            ExportRetry.type: self.operator,
            ErpAcknowledgement.type: self.spectrum,
        }


def make_keys(folder: Path) -> Keys:
    """Make the keys, with a file for each that only its owner can read."""
    keys = Keys(*map(generate_key, _ROWS, (ACCOUNTANT, OPERATOR, "spectrum", ANYBODY)))
    for key in keys:
        write_key_file(name_file(folder, key), key)
    return keys


def name_file(folder: Path, key: PrivateKey) -> Path:
    """Name the file of a key."""
    return folder / f"{key.public.kid}.jwk.json"


def require_signatures(rules: Path, keys: Keys) -> None:
    """List the public keys in a folder of rules, and have everything signed that can be."""
    jwks = {"keys": [write_public_jwk(key.public) for key in keys]}
    (rules / "signers.jwks.json").write_bytes(write_json(jwks))
    rows = ["kid,user,company_id,project_id,may,valid_from,valid_until"]
    rows += [f"{key.public.kid},{key.user},{COMPANY},,{_ROWS[key.public.kid]},," for key in keys]
    (rules / "signers.csv").write_text("\n".join(rows))
    words = ", ".join(f'"{word}"' for word in dict.fromkeys(" ".join(_ROWS.values()).split()))
    policies = rules / "rules.toml"
    policies.write_text(policies.read_text().replace("require = []", f"require = [{words}]"))


def read_approvals(rules: Path) -> Approvals:
    """Read who may sign, as Spectrum's side does from its own copy of the two files."""
    copy = read_rules(rules)
    return Approvals(copy.signing_keys, copy.signers)
