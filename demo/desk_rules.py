"""The rules of the desk's demo, and the people who may do something there."""

from pathlib import Path
from typing import Final, NamedTuple

from demo.keys import Keys, require_signatures
from demo.scene import ACCOUNTANT, COMPANY, MANAGER, OPERATOR
from demo.seeds import SEEDS, list_phases
from demo.setup import append_rows, copy_rules

CONTROLLER: Final = "controller@hillside.example"
NOBODY: Final = "visitor@hillside.example"
DEADLINE: Final = "60s"
"""How long Spectrum has for an answer."""
OPERATORS_FILE: Final = "operators.csv"

_CONTROLLED: Final = tuple(seed.budget.project_id for seed in SEEDS[:2])


class Character(NamedTuple):
    """One of the people whom a visitor of the demo can be."""

    user: str
    part: str


CHARACTERS: Final = (
    Character(ACCOUNTANT, "accountant: approves every project"),
    Character(CONTROLLER, f"controller: approves projects {' and '.join(map(str, _CONTROLLED))}"),
    Character(MANAGER, "manager: approves every project, but not what they have sent (four eyes)"),
    Character(OPERATOR, "operator: looks after what is stuck"),
    Character(NOBODY, "nobody: on no list"),
)


def write_desk_rules(folder: Path, keys: Keys) -> None:
    """Write the rules and the list of operators into a new folder.

    Args:
        folder: is created.
        keys: of those who sign.
    """
    copy_rules(folder, {seed.budget.project_id: seed.job for seed in SEEDS})
    append_rows(folder / "phases.csv", ((code, phase, "") for code, phase in list_phases().items()))
    append_rows(folder / "approvers.csv", ((COMPANY, project, CONTROLLER) for project in _CONTROLLED))
    append_rows(folder / "approvers.csv", [(COMPANY, "", MANAGER)])
    operators = [("company_id", "project_id", "user"), (COMPANY, "", OPERATOR)]
    append_rows(folder / OPERATORS_FILE, operators)
    require_signatures(folder, keys)
    rules = folder / "rules.toml"
    rules.write_text(rules.read_text().replace('deadline = "4h"', f'deadline = "{DEADLINE}"'))
