"""Reads ``signers.jwks.json`` and ``signers.csv`` of ``RULES_DIR``: the keys that sign, and what each may sign.

Both files may be missing: then nobody signs.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, cast, get_args

from contracts.fields import read_time
from contracts.signature.keys import KeySetError, PublicKey, read_key_set
from handlers.rules import Rules, fold_user
from handlers.signers import Signer, Word, order_signers
from worker.rules_tables import RulesReading, describe_error, read_id, read_rows

KEYS_FILE: Final = "signers.jwks.json"
SIGNERS_FILE: Final = "signers.csv"
_COLUMNS: Final = ("kid", "user", "company_id", "project_id", "may", "valid_from", "valid_until")


def read_signing_keys(reading: RulesReading) -> Mapping[str, PublicKey]:
    """Read the public keys, by kid."""
    file = reading.folder / KEYS_FILE
    if not file.exists():
        return {}
    try:
        return {key.kid: key for key in read_key_set(file.read_bytes())}
    except KeySetError as error:
        for problem in error.problems:
            reading.complain(KEYS_FILE, None, problem)
    except OSError as error:
        reading.complain(KEYS_FILE, None, describe_error(error))
    return {}


def read_signers(reading: RulesReading, keys: Mapping[str, PublicKey]) -> tuple[Signer, ...]:
    """Read what each key may sign.

    Args:
        reading: the folder.
        keys: those of ``signers.jwks.json``, by kid.
    """
    if not (reading.folder / SIGNERS_FILE).exists():
        return ()
    signers = []
    for row, (kid, user, company, project, may, start, end) in read_rows(reading, SIGNERS_FILE, _COLUMNS):
        if kid not in keys:
            reading.complain(SIGNERS_FILE, row, f"kid: {kid!r} is no key of {KEYS_FILE}")
        if not (folded := fold_user(user)):
            reading.complain(SIGNERS_FILE, row, "user: it is empty")
        company_id = read_id(reading, SIGNERS_FILE, row, "company_id", company)
        project_id = read_id(reading, SIGNERS_FILE, row, "project_id", project) if project else None
        words = _read_words(reading, row, may)
        valid_from = _read_bound(reading, row, "valid_from", start)
        valid_until = _read_bound(reading, row, "valid_until", end)
        if valid_from and valid_until and valid_until <= valid_from:
            reading.complain(SIGNERS_FILE, row, f"valid_until: {end} is not after valid_from, {start}")
        signers.append(Signer(kid, folded, company_id, project_id, words, valid_from, valid_until))
    return order_signers(signers)


def check_signatures(reading: RulesReading, rules: Rules) -> None:
    """Check that somebody can sign, where anything must be signed, and note what gets around that.

    Args:
        reading: the folder.
        rules: what was read from it.
    """
    required = rules.signatures_required
    if required and not rules.signers and not reading.problems:
        what = f"signatures.require: {', '.join(sorted(required))}, but {SIGNERS_FILE} has no row: nobody can sign"
        reading.complain("rules.toml", None, what)
    if "acknowledgement" in required and rules.acknowledges == "success":
        note = 'acknowledgements must be signed, but by readback.acknowledges = "success" a snapshot ends an export too'
        reading.notes.append(f"rules.toml: {note}, and snapshots are never signed")


def _read_words(reading: RulesReading, row: int, cell: str) -> frozenset[Word]:
    words, known = set(cell.split()), get_args(Word)
    if not words or not words.issubset(known):
        found = f"words of {', '.join(known)} are expected, separated by spaces, not {cell!r}"
        reading.complain(SIGNERS_FILE, row, f"may: {found}")
    return frozenset(cast("set[Word]", words))


def _read_bound(reading: RulesReading, row: int, column: str, cell: str) -> datetime | None:
    try:
        return read_time(cell) if cell else None
    except ValueError as error:
        reading.complain(SIGNERS_FILE, row, f"{column}: {error}")
        return None
