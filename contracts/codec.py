"""Any typed value of ours as JSON bytes and back, so that what is stored is read by the types that wrote it."""

from typing import Generic, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


class JsonCodec(Generic[T]):
    """Reads and writes one type."""

    def __init__(self, of: type[T]) -> None:
        self._adapter: TypeAdapter[T] = TypeAdapter(of)

    def write(self, value: T) -> bytes:
        """Write a value as JSON."""
        return self._adapter.dump_json(value)

    def read(self, stored: bytes | str) -> T:
        """Read a value; raises ``ValueError`` where it is not of the type."""
        return self._adapter.validate_json(stored)
