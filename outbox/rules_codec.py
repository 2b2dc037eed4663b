"""Writes the rules to ``rules.content`` as JSON, and reads them.

Policies are written and read by the fields of ``Rules``, so a new policy needs no change here: rows that were stored
before it existed are read with its default.
"""

import hashlib
import json
from dataclasses import fields
from datetime import timedelta
from typing import Any, Final, NamedTuple

from contracts.fields import read_time, write_time
from contracts.signature.keys import PublicKey
from handlers.rules import SECTION, CostType, Job, Phase, Rules, fold_user
from handlers.signers import Signer, order_signers

_POLICIES: Final = tuple(field.name for field in fields(Rules) if SECTION in field.metadata)
_DURATIONS: Final = frozenset(field.name for field in fields(Rules) if isinstance(field.default, timedelta))
_TABLES: Final = ("jobs", "phases", "cost_types", "approvers", "signing_keys", "signers")


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
        "signing_keys": [[key.kid, key.algorithm, key.material.hex()] for _, key in sorted(rules.signing_keys.items())],
        "signers": [_write_signer(signer) for signer in order_signers(rules.signers)],
    }
    for name in _POLICIES:
        content[name] = _write_policy(getattr(rules, name))
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
    policies: dict[str, Any] = {name: _read_policy(name, stored[name]) for name in _POLICIES if name in stored}
    return Rules(
        jobs={(company, project): Job(*job) for company, project, *job in stored.get("jobs", ())},
        phases={code: Phase(*phase) for code, *phase in stored.get("phases", ())},
        cost_types={kind: CostType(*mapped) for kind, *mapped in stored.get("cost_types", ())},
        # Folded again: the row may be older than today's way of comparing users.
        approvers={
            (company, project): frozenset(map(fold_user, users))
            for company, project, users in stored.get("approvers", ())
        },
        signing_keys={
            kid: PublicKey(kid, algorithm, bytes.fromhex(material))
            for kid, algorithm, material in stored.get("signing_keys", ())
        },
        signers=order_signers(map(_read_signer, stored.get("signers", ()))),
        **policies,
    )


def _write_policy(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return sorted(value) if isinstance(value, frozenset) else value


def _read_policy(name: str, stored: Any) -> object:
    if name in _DURATIONS and stored is not None:
        return timedelta(seconds=stored)
    return frozenset(stored) if isinstance(stored, list) else stored


def _write_signer(signer: Signer) -> list[Any]:
    times = (signer.valid_from, signer.valid_until)
    return [*signer[:4], sorted(signer.may), *(at and write_time(at) for at in times)]


def _read_signer(stored: list[Any]) -> Signer:
    kid, user, company, project, may, *times = stored
    return Signer(kid, fold_user(user), company, project, frozenset(may), *(at and read_time(at) for at in times))
