"""The verifier's own copy of the signers' files: whose signature counts, whatever the trail says."""

from pathlib import Path

from worker.rules_tables import RulesReading
from worker.settings import ConfigurationError
from worker.signed_exports import Signers
from worker.signer_files import KEYS_FILE, SIGNERS_FILE, read_signers, read_signing_keys


def read_signer_folder(folder: Path) -> Signers:
    """Read both files of a folder.

    Raises:
        ConfigurationError: one is missing, or cannot be read; a sentence for each problem.
    """
    if missing := [name for name in (KEYS_FILE, SIGNERS_FILE) if not (folder / name).is_file()]:
        raise ConfigurationError(tuple(f"--rules: there is no {name} in {folder}" for name in missing))
    reading = RulesReading(folder)
    keys = read_signing_keys(reading)
    rows = read_signers(reading, keys)
    if reading.problems:
        raise ConfigurationError(tuple(reading.problems))
    return Signers(keys, rows)
