"""What the watch finds wrong, as its JSON says it, and only what the reader of a page may see."""

import json
import urllib.request
from collections.abc import Iterable
from http.client import HTTPException
from typing import Final, NamedTuple

from contracts.budget_key import parse_budget_key
from desk.rights import Rights

_SECONDS: Final = 3.0


class Finding(NamedTuple):
    """Something about a budget that is not as it should be."""

    budget: str
    kind: str
    says: str


def load_findings(url: str) -> list[Finding]:
    """Load the present findings of the watch.

    Args:
        url: its HTTP address, such as ``watch:6066``.

    Raises:
        OSError: it does not answer.
        ValueError: it answers something else.
    """
    address = (url if "://" in url else f"http://{url}").rstrip("/")
    try:
        with urllib.request.urlopen(f"{address}/findings.json", timeout=_SECONDS) as response:  # noqa: S310 - a setting
            found = json.loads(response.read())["findings"]
        return [Finding(one["budget"], one["kind"], one["says"]) for one in found]
    except (HTTPException, KeyError, TypeError) as error:
        message = f"{address} does not answer as the watch does ({error!r}); check DESK_WATCH"
        raise ValueError(message) from error


def choose_findings(findings: Iterable[Finding], rights: Rights) -> list[Finding]:
    """Choose those about budgets that a person may see."""
    return [one for one in findings if _may_see(one.budget, rights)]


def _may_see(budget: str, rights: Rights) -> bool:
    try:
        return rights.may_see(*parse_budget_key(budget).project)
    except ValueError:
        return False
