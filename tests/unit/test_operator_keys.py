"""Keys of operators: made once, readable by their owner alone, and whoever has one needs no other name."""

import csv
import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import read_message
from contracts.records import Place, Record
from contracts.signature.keys import read_public_key
from contracts.signature.signing import generate_key, read_private_key
from contracts.signature.verifying import Unverified, Verified, verify_record
from contracts.topics import TopicNames
from tests.unit.builders import KEY
from worker.__main__ import app
from worker.key_files import read_key_file, write_key_file
from worker.operator_messages import make_reset, write_operator_message
from worker.settings import ConfigurationError

AT = datetime(2026, 11, 24, 9, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("OPERATOR_KEY_FILE", "KAFKA_BOOTSTRAP", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, arguments, input=typed)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
def test_a_new_key_is_its_owner_s_alone_and_what_is_listed_is_printed(folder: Path, algorithm: str) -> None:
    done = run("signers", "new", "olga-1", "--user", "Olga, of accounting", "--algorithm", algorithm, "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    file = folder / printed["file"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = read_private_key(file.read_bytes())
    assert (key.user, key.public.algorithm) == ("Olga, of accounting", algorithm)
    assert read_public_key(printed["public_jwk"]) == key.public
    assert json.loads(file.read_bytes())["d"] not in done.output


def test_in_words_it_prints_the_public_key_and_a_row(folder: Path) -> None:
    done = run("signers", "new", "olga-1", "--user", "Olga, of accounting")
    assert done.exit_code == 0, done.output
    key = read_private_key((folder / "olga-1.jwk.json").read_bytes())
    (jwk,) = [line for line in done.stdout.splitlines() if line.startswith("  {")]
    assert read_public_key(json.loads(jwk)) == key.public
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("  olga-1,")]
    assert next(csv.reader([row.strip()]))[:2] == ["olga-1", "Olga, of accounting"]
    assert json.loads((folder / "olga-1.jwk.json").read_bytes())["d"] not in done.output


def test_a_file_is_never_overwritten(folder: Path) -> None:
    (folder / "olga-1.jwk.json").write_text("mine")
    again = run("signers", "new", "olga-1", "--user", "olga")
    assert (again.exit_code, "never overwritten" in again.stderr) == (2, True)
    assert (folder / "olga-1.jwk.json").read_text() == "mine"


@pytest.mark.parametrize("kid", ["../olga", "/tmp/olga", ".hidden", "a b", "a,b", "", "olgá"])
def test_a_kid_that_is_no_file_name_makes_nothing(folder: Path, kid: str) -> None:
    refused = run("signers", "new", "--user", "olga", "--", kid)
    assert (refused.exit_code, "is no name for a file" in refused.stderr) == (2, True)
    assert list(folder.rglob("*")) == []


def test_a_user_nobody_can_see_makes_nothing(folder: Path) -> None:
    refused = run("signers", "new", "olga-1", "--user", " ")
    assert (refused.exit_code, "a user is expected, not a blank" in refused.stderr) == (2, True)
    assert list(folder.rglob("*")) == []


def test_a_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(ConfigurationError, match="cannot be written: No such file or directory"):
        write_key_file(Path("nowhere/olga.jwk.json"), generate_key("olga-1", "olga"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_key_that_others_can_use_is_refused(folder: Path, mode: int) -> None:
    file = folder / "olga.jwk.json"
    write_key_file(file, generate_key("olga-1", "olga"))
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"KEY: others can use .* \(mode {mode:o}\): run chmod 600"):
        read_key_file("KEY", file)
    file.chmod(0o400)
    assert read_key_file("KEY", file).user == "olga"


@pytest.mark.parametrize(
    ("text", "sentence"), [("", "a private JSON Web Key is expected"), ('{"kid": "a", "kty": "OKP"}', "a: alg EdDSA")]
)
def test_a_file_without_a_key_is_named(folder: Path, text: str, sentence: str) -> None:
    file = folder / "olga.jwk.json"
    file.touch(mode=0o600)
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=f"KEY: {file}: {sentence}"):
        read_key_file("KEY", file)
    with pytest.raises(ConfigurationError, match="none cannot be read: No such file"):
        read_key_file("KEY", folder / "none")


def test_what_an_operator_sends_names_its_budget_and_time_and_is_signed_by_the_key() -> None:
    key = generate_key("olga-1", "olga")
    message = make_reset(KEY, 3, key.user, "moved 😀 " * 200)
    sent = write_operator_message(message, "id-1", TopicNames("x."), AT, key)
    record = Record(Place("bridge.commands", 0, 0), 0, sent.key, sent.value, sent.headers)
    found = verify_record(record, str(KEY), {"olga-1": key.public})
    assert isinstance(found, Verified)
    assert found.event.time == "2026-11-24T09:00:00.250000Z"
    read = read_message("bridge.commands", record)
    assert isinstance(read, Message)
    assert read.body == message
    bare = write_operator_message(message, "id-1", TopicNames("x."), AT, None)
    assert {"ce_time", "ce_subject"} <= dict(bare.headers).keys()
    unsigned = verify_record(Record(record.place, 0, None, bare.value, bare.headers), str(KEY), {})
    assert isinstance(unsigned, Unverified)
    assert unsigned.code == "signature_missing"


COMMANDS = [("retry",), ("release",), ("reset",), ("acknowledge", "--status", "success"), ("snapshot",)]


@pytest.mark.parametrize("command", [*COMMANDS, ("import", "--currency", "USD")])
def test_a_name_beside_a_key_is_refused(
    folder: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_key_file(folder / "olga.jwk.json", generate_key("olga-1", "olga"))
    monkeypatch.setenv("OPERATOR_KEY_FILE", "olga.jwk.json")
    refused = run(command[0], str(KEY), *command[1:], "--by", "olga")
    assert (refused.exit_code, "--by: leave it out; OPERATOR_KEY_FILE holds a key of olga" in refused.stderr) == (
        2,
        True,
    )


@pytest.mark.parametrize("command", [*COMMANDS, ("import", "--currency", "USD")])
def test_without_a_key_one_is_asked_who_one_is_and_with_it_not(
    folder: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = run(command[0], str(KEY), *command[1:], typed="olga\nbecause\n")
    assert "Who are you: " in asked.stdout
    assert (asked.exit_code, "KAFKA_BOOTSTRAP: it is not set" in asked.stderr) == (2, True)
    write_key_file(folder / "olga.jwk.json", generate_key("olga-1", "olga"))
    monkeypatch.setenv("OPERATOR_KEY_FILE", "olga.jwk.json")
    known = run(command[0], str(KEY), *command[1:], typed="because\n")
    assert "Who are you" not in known.stdout
    assert (known.exit_code, "KAFKA_BOOTSTRAP: it is not set" in known.stderr) == (2, True)


def test_a_key_that_others_can_read_ends_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_key_file(folder / "olga.jwk.json", generate_key("olga-1", "olga"))
    (folder / "olga.jwk.json").chmod(0o644)
    monkeypatch.setenv("OPERATOR_KEY_FILE", "olga.jwk.json")
    refused = run("retry", str(KEY), "--why", "because")
    assert (refused.exit_code, "OPERATOR_KEY_FILE: others can use olga.jwk.json" in refused.stderr) == (2, True)


def test_a_key_that_vouches_for_others_is_no_operator_s(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its messages would be those of ``*``, so nobody could say who has reset a budget."""
    write_key_file(folder / "ui.jwk.json", generate_key("ui-1", "*"))
    monkeypatch.setenv("OPERATOR_KEY_FILE", "ui.jwk.json")
    refused = run("reset", str(KEY), "--why", "because", "--yes")
    assert (refused.exit_code, "OPERATOR_KEY_FILE: ui.jwk.json holds a key of *" in refused.stderr) == (2, True)
