"""One real-looking sample of every message: used by the tests, the demo and the published contract."""

import json
from importlib.resources import files
from typing import Any


def load_sample(kind: str) -> dict[str, Any]:
    """Load the data object of one message type."""
    sample: dict[str, Any] = json.loads((files(__package__) / f"{kind}.json").read_text(encoding="utf-8"))
    return sample
