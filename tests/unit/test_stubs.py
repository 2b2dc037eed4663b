"""Whatever a source record has in it, its copy fits into the inbox."""

from contracts.inbox import copy_to_inbox
from contracts.records import Place, Record
from contracts.stubs import read_stub

INBOX_BYTES = 17 * 1024 * 1024


def test_a_header_name_is_measured_in_bytes_not_in_characters() -> None:
    # Fifteen million characters, of three bytes each; compressed, any topic takes them.
    record = Record(Place("x.procore.budgets", 0, 0), 1, b"k", b"{}", (("\u4e00" * 15_000_000, b""),))
    copy = copy_to_inbox(record, "x.bridge.inbox")
    assert sum(len(name.encode()) + len(value or b"") for name, value in copy.headers) < INBOX_BYTES
    assert "its headers were left out" in (read_stub(copy.headers) or "")
