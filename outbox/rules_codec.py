"""Writes the rules to ``rules.content`` as JSON, and reads them.

Policies are written and read by the fields of ``Rules``, so a new policy needs no change here: rows that were stored
before it existed are read with its default.
"""

import hashlib
import json
from dataclasses import fields
from datetime import timedelta
from typing import Any, Final, NamedTuple

from handlers.rules import SECTION, CostType, Job, Phase, Rules, fold_user

_POLICIES: Final = tuple(field.name for field in fields(Rules) if SECTION in field.metadata)
_DURATIONS: Final = frozenset(field.name for field in fields(Rules) if isinstance(field.default, timedelta))
_TABLES: Final = ("jobs", "phases", "cost_types", "approvers")


class EncodedRules(NamedTuple):
    """Rules as they are stored."""

    content: str
    digest: str
    """SHA-256 of the content in hexadecimal, by which the same rules are recognised."""


class NewerRulesError(ValueError):
    """Stored rules have parts that this program does not know, so it must not decide by them."""


def encode_rules(rules: Rules) -> EncodedRules:
    """Write rules as JSON; the same rules always give the same text."""
    content: dict[str, Any] = {
        "jobs": sorted([*project, *job] for project, job in rules.jobs.items()),
        "phases": [[code, *phase] for code, phase in sorted(rules.phases.items())],
        "cost_types": [[kind, *mapped] for kind, mapped in sorted(rules.cost_types.items())],
        "approvers": [
            [company, project, sorted(users)]
            for (company, project), users in sorted(
                rules.approvers.items(), key=lambda item: (item[0][0], item[0][1] or 0)
            )
        ],
    }
    for name in _POLICIES:
        value = getattr(rules, name)
        content[name] = value.total_seconds() if isinstance(value, timedelta) else value
    text = json.dumps(content, sort_keys=True)
    return EncodedRules(text, hashlib.sha256(text.encode()).hexdigest())


def decode_rules(content: str) -> Rules:
    """Read rules that this or an older version of this program stored.

    Raises:
        NewerRulesError: a newer version stored them, with parts that this one does not know.
    """
    stored: dict[str, Any] = json.loads(content)
    if unknown := sorted(stored.keys() - {*_TABLES, *_POLICIES}):
        message = f"a newer budget-bridge wrote them, with {', '.join(unknown)}: run that version here too"
        raise NewerRulesError(message)
    policies: dict[str, Any] = {
        name: timedelta(seconds=stored[name]) if name in _DURATIONS and stored[name] is not None else stored[name]
        for name in _POLICIES
        if name in stored
    }
    return Rules(
        jobs={(company, project): Job(*job) for company, project, *job in stored.get("jobs", ())},
        phases={code: Phase(*phase) for code, *phase in stored.get("phases", ())},
        cost_types={kind: CostType(*mapped) for kind, *mapped in stored.get("cost_types", ())},
        # Folded again: the row may be older than today's way of comparing users.
        approvers={
            (company, project): frozenset(map(fold_user, users))
            for company, project, users in stored.get("approvers", ())
        },
        **policies,
    )
