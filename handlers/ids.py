"""The ids that we assign: the same cause always gives the same id, on any installation and at any attempt."""

from functools import lru_cache
from hashlib import sha1
from json.encoder import encode_basestring_ascii
from typing import Final
from uuid import UUID

from contracts.budget_key import BudgetKey
from contracts.outbound import Outbound

# Never change it: with other ids, earlier messages would no longer be recognised.
_EXPORTS: Final = UUID("5f0d7f0e-3f4c-5c5e-9b3e-6d1a2b0c4e71").bytes
_REQUESTS: Final = UUID("c3f1a8de-52b7-5e0a-9a44-7d0f6b1e2c95").bytes
_EFFECTS: Final = UUID("0b6c3a52-8f1d-5f0a-8d57-2c9e41b7a3d6").bytes

_FREE_BITS: Final = 0xFFFFFFFF_FFFF_0FFF_3FFF_FFFFFFFFFFFF
_VERSION_5: Final = 0x5000_8000_000000000000
"""The four bits of the version, and the two of the variant."""


@lru_cache(maxsize=1024)
def name_export(key: BudgetKey, version: int, export_number: int) -> UUID:
    """Compute the id of an export, the same for every attempt.

    The number is part of it because a version may come twice: a reset forgets the versions, not the exports.

    Args:
        key: of the budget.
        version: that is exported.
        export_number: from 1, over all exports of the budget.
    """
    return _name(_EXPORTS, f"{key}/{version}/{export_number}")


def write_reference(number: int) -> str:
    """Write the change reference under which Spectrum has an export: B and seven digits."""
    return f"B{number:07d}"


def name_request(key: BudgetKey, number: int) -> UUID:
    """Compute the id of a request for a snapshot, which is that of its event.

    Args:
        key: of the budget.
        number: from 1, over all requests of the budget.
    """
    return _name(_REQUESTS, f"{key}/{number}")


def name_send(message: Outbound, cause: tuple[int | str, ...], ordinal: int) -> UUID:
    """Find the id of a message that we send: the one that it names itself, or that of an effect.

    Args:
        message: what is sent.
        cause: the identity of the message that causes it.
        ordinal: its place among the effects of that cause, from 0.
    """
    return message.own_id or name_effect(cause, ordinal)


def name_effect(cause: tuple[int | str, ...], ordinal: int) -> UUID:
    """Compute the id of a message that we send.

    Args:
        cause: the identity of the message that causes it.
        ordinal: its place among the effects of that cause, from 0.
    """
    written = [encode_basestring_ascii(part) if isinstance(part, str) else str(part) for part in cause]
    return _name(_EFFECTS, f"[{', '.join(written)}, {ordinal}]")


def _name(namespace: bytes, name: str) -> UUID:
    """Compute a UUID of version 5 as RFC 9562 describes it; ``uuid.uuid5`` takes three times as long."""
    number = int.from_bytes(sha1(namespace + name.encode()).digest()[:16])  # noqa: S324 - no secret
    return UUID(int=number & _FREE_BITS | _VERSION_5)
