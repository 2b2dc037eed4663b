"""`budget-bridge recover` plans and repairs in rounds: an interruption is a sentence, and there is a last round."""

import io
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from typing import Any, cast

import pytest

from tests.unit.builders import RULES
from worker.commands import recover
from worker.console import Console
from worker.deployment import Deployment
from worker.kafka.errors import LaneLost
from worker.recover.repair import Choices, Repair
from worker.rules_in_force import RulesFolder

Act = Callable[[], Awaitable[None]]


def run(monkeypatch: pytest.MonkeyPatch, plan: Callable[[], list[Repair]]) -> tuple[bool, str]:
    async def plan_repairs(*_: Any, **__: Any) -> list[Repair]:
        return plan()

    async def check_no_worker_runs(_: Deployment) -> None:
        pass

    monkeypatch.setattr(recover, "plan_repairs", plan_repairs)
    monkeypatch.setattr(recover, "check_no_worker_runs", check_no_worker_runs)
    session = recover._Session(cast("Deployment", None), RulesFolder(RULES), Choices(), Console())
    with redirect_stdout(io.StringIO()) as screen:
        return session.repair(without_asking=True), screen.getvalue()


def test_a_repair_that_is_interrupted_is_planned_and_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[bool] = []

    async def act() -> None:
        attempts.append(len(attempts) > 0)
        if not attempts[-1]:
            raise LaneLost("ProducerFenced")

    is_done, said = run(monkeypatch, lambda: [] if True in attempts else [Repair("a", "b", act)])
    assert (is_done, attempts) == (True, [False, True])
    assert "repair 1 was interrupted (ProducerFenced); planning again" in said


def test_there_is_a_last_round(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[None] = []

    async def act() -> None:
        made.append(None)

    is_done, said = run(monkeypatch, lambda: [Repair("never right", "b", act)])
    assert (is_done, len(made)) == (False, recover.MAX_ROUNDS)
    assert "still needs repair after 10 rounds" in said


def test_what_only_a_person_can_do_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    is_done, said = run(monkeypatch, lambda: [Repair("a", "call somebody", None)])
    assert (is_done, said.count("call somebody")) == (False, 1)
