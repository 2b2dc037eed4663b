"""Checks certificate files before a connection needs them: are they there, readable, and what they should be?"""

import ssl
from pathlib import Path


class TlsFileError(ValueError):
    """A file with certificates or a key cannot be used; the message names it, and says what to do."""


def check_ca_file(file: Path) -> None:
    """Check a file with the certificates of CAs, or with a list of revoked ones.

    Raises:
        TlsFileError: it cannot be used.
    """
    _read(file)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except ssl.SSLError as error:
        message = f"{file} has no certificate that can be read ({_name_reason(error)}): give a file in PEM format"
        raise TlsFileError(message) from error


def check_key_pair(certificate: Path, key: Path | None, password: str = "") -> None:
    """Check a certificate of ours and its key, which may be in the same file.

    Raises:
        TlsFileError: one of them cannot be used, or they do not belong together.
    """
    for file in (certificate, key or certificate):
        _read(file)
    try:
        # Without a password, OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=lambda: password)
    except (ssl.SSLError, ValueError) as error:
        message = (
            f"{certificate} and the key in {key or certificate} cannot be used ({_name_reason(error)}): give a "
            f"certificate and its own key in PEM format, the key without a passphrase"
        )
        raise TlsFileError(message) from error


def _read(file: Path) -> None:
    try:
        file.read_bytes()
    except FileNotFoundError as error:
        message = f"there is no file {file}: correct the path, or mount the file"
        raise TlsFileError(message) from error
    except (OSError, ValueError) as error:
        # ValueError: a path with NUL.
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"{file} cannot be read ({reason}): make it a file that this user may read"
        raise TlsFileError(message) from error


def _name_reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return (reason or str(error)).replace("_", " ").lower()
