"""A fixed piece of work of the kind that the worker does, to measure a machine by.

The CPU of the worker for each message is compared with the CPU of this. It uses the standard library alone, and nothing
of ours: a peer, or the floor, would get cheaper and dearer together with the code that is checked. It must not change,
or all recorded figures lose their meaning.
"""

import hashlib
import json
import time
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID, uuid5

REPEATS: Final = 10
_NAMESPACE: Final = UUID("7d4f1b0e-2f0a-4c58-9d4e-1a6f0c9b8e21")
_DOCUMENT: Final = json.dumps(
    {
        "company": 4211,
        "total": "1234.50",
        "lines": [
            {"id": number, "code": f"03-3{number:02d}", "text": f"Concrete work {number}", "amount": f"{number}17.25"}
            for number in range(20)
        ],
    }
)


class _Line(NamedTuple):
    code: str
    text: str
    cents: int


def work() -> str:
    """Read a document of twenty lines, convert, compare, hash and write it."""
    document = json.loads(_DOCUMENT)
    lines = [
        _Line(line["code"].replace("-", ""), line["text"][:25], int(Decimal(line["amount"]).scaleb(2)))
        for line in document["lines"]
    ]
    by_code = {line.code: line for line in lines}
    text = json.dumps({"company": document["company"], "lines": sorted(by_code.values())}, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return str(uuid5(_NAMESPACE, digest))


def measure_yardstick() -> float:
    """Measure the milliseconds of CPU that the work takes, averaged over some repeats."""
    began = time.thread_time()
    for _ in range(REPEATS):
        work()
    return (time.thread_time() - began) / REPEATS * 1000
