"""Who an operator is: the user of the key that ``OPERATOR_KEY_FILE`` names, or whoever they say they are."""

import typer

from contracts.signature.signing import PrivateKey
from handlers.signers import ANYBODY
from worker.commands.problems import report_problems
from worker.key_files import read_key_file
from worker.settings import ConfigurationError, OperatorSettings, read_settings


def read_operator_key() -> PrivateKey | None:
    """Read the operator's key; ``None`` where there is none.

    Raises:
        ConfigurationError: the file that should hold it cannot be used.
    """
    path = read_settings(OperatorSettings).operator_key_file
    if path is None:
        return None
    key = read_key_file("OPERATOR_KEY_FILE", path)
    if key.user == ANYBODY:
        problem = f"OPERATOR_KEY_FILE: {path} holds a key of {ANYBODY}, which names nobody: use one of your own"
        raise ConfigurationError((problem,))
    return key


def name_operator() -> str:
    """Name the operator who did not say who they are: by their key, or as they answer."""
    with report_problems():
        key = read_operator_key()
    return key.user if key else typer.prompt("Who are you", type=str)


def refuse_another_name(context: typer.Context, parameter: typer.CallbackParam, name: str) -> str:
    """Refuse a name that is given beside a key, which has one already."""
    source = context.get_parameter_source(parameter.name or "")
    if source and source.name == "COMMANDLINE":
        with report_problems():
            if key := read_operator_key():
                raise ConfigurationError((f"--by: leave it out; OPERATOR_KEY_FILE holds a key of {key.user}",))
    return name
