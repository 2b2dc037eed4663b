"""The scenario in which somebody may write to our topics, and still approves nothing."""

import json
from typing import Final
from uuid import uuid4

from contracts.budget_key import BudgetKey
from contracts.cloudevents.writing import write_attributes
from contracts.records import Outgoing
from contracts.signature.signing import generate_key
from demo.bridge_client import Data
from demo.scene import (
    ACCOUNTANT,
    COMPANY,
    STEEL,
    Scene,
    check_amounts,
    expect_export,
    expect_request,
    expect_synced,
    format_amount,
    lock,
    write_acceptance,
)

BUDGET: Final = BudgetKey(COMPANY, 90074, 55240)
JOB: Final = "26-1004"
_KIND: Final = "spectrum.resync.v1"
_MESSAGE_ID: Final = "decision-of-november"
_FORGED_AMOUNT: Final = "990000.00"


async def refuse_forgeries(scene: Scene) -> None:
    """A forged acceptance is refused by the bridge, a forged export by Spectrum."""
    lines = (STEEL[0]._replace(amount="425000.00"),)
    await lock(scene, BUDGET, 2, lines)
    acceptance = write_acceptance((await expect_request(scene, BUDGET, 2))["content_hash"])
    await _forge_acceptance(scene, acceptance)
    await scene.bridge.send("approval.decision.v1", BUDGET, 2, acceptance, _MESSAGE_ID)
    scene.timeline.print_event("→", "approver", "accepts version 2, as it happens under the same id")
    export = await expect_export(scene, BUDGET, 2, resync=True)
    scene.timeline.check(
        "what was forged has not used up its id, and the export carries the genuine acceptance",
        holds=export["approval"]["id"] == _MESSAGE_ID,
    )
    await expect_synced(scene, BUDGET, 2)
    await _forge_export(scene, export)
    check_amounts(scene, JOB, lines)


async def _forge_acceptance(scene: Scene, acceptance: Data) -> None:
    """Somebody who may write to the topic of decisions accepts in the accountant's name, with a key of their own."""
    key = generate_key(scene.bridge.keys["approval.decision.v1"].public.kid, ACCOUNTANT)
    forged = scene.bridge.write("approval.decision.v1", BUDGET, 2, acceptance, _MESSAGE_ID, key)
    await scene.bridge.appender.append([forged])
    scene.timeline.print_event("→", "forger", f"accepts version 2 as {ACCOUNTANT}, with a key of their own")
    refused = await scene.bridge.expect("request.refused.v1", BUDGET, code="signature_invalid")
    scene.timeline.print_event("←", "bridge", f"refuses: {refused['message']}")
    exported = [export["budget_version"] for export in scene.bridge.list_sent(_KIND, BUDGET)]
    scene.timeline.check("nothing was exported", holds=2 not in exported)  # noqa: PLR2004


async def _forge_export(scene: Scene, export: Data) -> None:
    """Somebody who may write to Spectrum's topic sends another amount under the accountant's genuine acceptance."""
    line = export["lines"][0] | {"original_estimate_cost": _FORGED_AMOUNT, "change": "set"}
    names = {"export_id": str(uuid4()), "export_number": export["export_number"] + 1}
    forged = export | names | {"change_reference": "B9999999", "lines": [line]}
    headers = write_attributes(_KIND, "budget-bridge", str(uuid4()))
    value, topic = json.dumps(forged).encode(), scene.bridge.topics.full("spectrum.exports")
    await scene.bridge.appender.append([Outgoing(topic, str(BUDGET).encode(), value, headers)])
    what = f"sends Spectrum {format_amount(_FORGED_AMOUNT)} under that acceptance, as if it were the bridge"
    scene.timeline.print_event("→", "forger", what)
    await scene.bridge.expect(_KIND, BUDGET, export_id=forged["export_id"])
    answer = await scene.bridge.expect("unknown_export", BUDGET, export_id=forged["export_id"])
    scene.timeline.print_event("←", "Spectrum", f"refuses: {answer['message']}")
    scene.timeline.print_event(" ", "bridge", "knows no such export, and sets the answer aside as a dead letter")
    scene.timeline.check("Spectrum has written nothing of it", holds=answer["status"] == "failed")
