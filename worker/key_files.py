"""Files with a private key: made once and never overwritten, and read only where nobody but the owner can."""

import os
import stat
from pathlib import Path
from typing import Final

from contracts.signature.keys import KeySetError
from contracts.signature.signing import PrivateKey, read_private_key, write_private_key
from worker.settings import ConfigurationError

_OWNER_ONLY: Final = 0o600
_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def write_key_file(path: Path, key: PrivateKey) -> None:
    """Write a new key file that only its owner can read.

    Raises:
        ConfigurationError: the file is there already, or cannot be written.
    """
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "wb") as file:
            file.write(write_private_key(key))
    except FileExistsError:
        problem = f"{path} is there already and is never overwritten: choose another kid, or move the file away"
        raise ConfigurationError((problem,)) from None
    except OSError as error:
        raise ConfigurationError((f"{path} cannot be written: {error.strerror}",)) from None


def read_key_file(variable: str, path: Path) -> PrivateKey:
    """Read a key file.

    Args:
        variable: the setting that names it, for what is wrong.
        path: the file.

    Raises:
        ConfigurationError: it cannot be read, others than its owner can read it, or it holds no key.
    """
    try:
        with path.open("rb") as file:
            if (mode := stat.S_IMODE(os.fstat(file.fileno()).st_mode)) & _OF_OTHERS:
                problem = f"{variable}: others can use {path} (mode {mode:o}): run chmod 600 {path}, if nobody has"
                raise ConfigurationError((problem,))
            return read_private_key(file.read())
    except OSError as error:
        raise ConfigurationError((f"{variable}: {path} cannot be read: {error.strerror}",)) from None
    except KeySetError as error:
        problems = tuple(f"{variable}: {path}: {problem}" for problem in error.problems)
        raise ConfigurationError(problems) from None
