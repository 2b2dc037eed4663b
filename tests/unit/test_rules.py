"""The rules as files and as stored JSON: what is read, what is refused, and the defaults."""

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.signature.keys import PublicKey
from handlers.rules import SECTION, CostType, Job, Phase, Rules, name_policy
from handlers.signers import Signer
from outbox.rules_codec import NewerRulesError, decode_rules, encode_rules
from tests.end_to_end.harness import RULES as FILES
from worker.__main__ import app
from worker.reports.rules_report import compare_rules
from worker.rules_files import read_rules, read_rules_and_notes
from worker.settings import ConfigurationError

RULES = Rules(
    jobs={(4211, 2): Job("001", "J2", 500), (4211, 1): Job("001", "J1")},
    phases={"b": Phase("2", None), "a": Phase("1", "Concrete")},
    cost_types={"S": CostType("S", "T")},
    approvers={(4211, None): frozenset({"ann", "bob"}), (4211, 2): frozenset({"eve"})},
    signing_keys={"ui": PublicKey("ui", "EdDSA", bytes(range(32)))},
    signers=(
        Signer("ui", "*", 4211, 2, frozenset({"decision", "retry"}), datetime(2026, 1, 1, tzinfo=UTC)),
        Signer("ui", "ann", 4211, None, frozenset({"reset"}), None, datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC)),
    ),
    four_eyes=False,
    require_content_hash=False,
    unknown_sender="allow",
    removed_lines="block",
    long_descriptions="reject",
    quantities=True,
    acknowledgement_deadline=timedelta(minutes=30),
    parked_expiry=timedelta(seconds=1),
    parked_limit=3,
    after_success=False,
    every=None,
    snapshot_deadline=timedelta(minutes=10),
    stale_after=timedelta(days=3),
    open_drift="block",
    acknowledges="success",
    expiry=timedelta(hours=2),
    unmapped="offer",
    signatures_required=frozenset({"decision", "reset"}),
    signature_max_age=timedelta(hours=5),
)
OLDEST = """{"acknowledgement_deadline": 1800.0, "approvers": [[4211, null, ["ann", "bob"]], [4211, 2, ["eve"]]],
"cost_types": [["S", "S", "T"]], "four_eyes": false, "jobs": [[4211, 1, "001", "J1"], [4211, 2, "001", "J2"]],
"long_descriptions": "reject", "parked_expiry": 1.0, "parked_limit": 3, "phases": [["a", "1", "Concrete"],
["b", "2", null]], "quantities": true, "removed_lines": "block", "require_content_hash": false}"""
"""How the first version wrote them: whatever is written later, this must stay readable."""
LATER = (
    "unknown_sender",
    "after_success",
    "every",
    "snapshot_deadline",
    "stale_after",
    "open_drift",
    "acknowledges",
    "expiry",
    "unmapped",
    "signing_keys",
    "signers",
    "signatures_required",
    "signature_max_age",
)
"""What it did not have."""
READ_OLDEST = replace(
    RULES,
    jobs={project: job._replace(first_reference=1) for project, job in RULES.jobs.items()},
    **{name: getattr(Rules(), name) for name in LATER},
)


JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "alg": "EdDSA"}
SIGNER_COLUMNS = "kid,user,company_id,project_id,may,valid_from,valid_until\n"
SIGNED = {
    "signers_jwks_json": json.dumps({"keys": [JWK | {"kid": "anna-1"}]}).encode(),
    "signers_csv": f"{SIGNER_COLUMNS}anna-1,Anna,4211,,decision,,\n".encode(),
}
"""The two files that may be missing."""


def write(folder: Path, **files: bytes) -> Path:
    for name, text in FILES.items():
        (folder / name).write_bytes(files.get(name.replace(".", "_"), text.encode()))
    for name in ("signers.jwks.json", "signers.csv"):
        if (signed := files.get(name.replace(".", "_"))) is not None:
            (folder / name).write_bytes(signed)
    return folder


def problems(folder: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as broken:
        read_rules(folder)
    return broken.value.problems


def test_every_field_differs_from_its_default_in_the_example() -> None:
    assert not [field.name for field in fields(Rules) if getattr(RULES, field.name) == getattr(Rules(), field.name)]


def test_what_is_written_is_read() -> None:
    assert decode_rules(encode_rules(RULES).content) == RULES
    assert decode_rules(encode_rules(Rules()).content) == Rules()


def test_rows_of_the_first_version_are_read() -> None:
    assert decode_rules(OLDEST) == READ_OLDEST
    assert decode_rules(encode_rules(READ_OLDEST).content) == READ_OLDEST


@pytest.mark.parametrize("name", [field.name for field in fields(Rules)])
def test_a_row_that_lacks_a_key_has_the_default(name: str) -> None:
    content = json.loads(encode_rules(RULES).content)
    del content[name]
    assert decode_rules(json.dumps(content)) == replace(RULES, **{name: getattr(Rules(), name)})


def test_a_row_of_a_newer_version_is_refused() -> None:
    with pytest.raises(NewerRulesError, match="with dual_control: run that version"):
        decode_rules(json.dumps(json.loads(OLDEST) | {"dual_control": True}))


def test_the_same_rules_have_the_same_digest_in_any_order() -> None:
    reordered = replace(
        RULES, jobs=dict(reversed(tuple(RULES.jobs.items()))), phases=dict(reversed(tuple(RULES.phases.items())))
    )
    assert encode_rules(reordered) == encode_rules(RULES)
    assert encode_rules(replace(RULES, four_eyes=True)).digest != encode_rules(RULES).digest


def test_every_policy_is_read_from_its_section(tmp_path: Path) -> None:
    values = {
        "four_eyes": "false",
        "require_content_hash": "false",
        "removed_lines": '"block"',
        "unknown_sender": '"allow"',
        "long_descriptions": '"reject"',
        "quantities": "true",
        "acknowledgement_deadline": '"30m"',
        "parked_expiry": '"1s"',
        "parked_limit": "3",
        "after_success": "false",
        "every": '"off"',
        "snapshot_deadline": '"10m"',
        "stale_after": '"3d"',
        "open_drift": '"block"',
        "acknowledges": '"success"',
        "expiry": '"2h"',
        "unmapped": '"offer"',
        "signatures_required": '["decision", "reset"]',
        "signature_max_age": '"5h"',
    }
    policies = {field.name: name_policy(field) for field in fields(Rules) if SECTION in field.metadata}
    assert values.keys() == policies.keys()
    sections = dict.fromkeys((section for section, _ in policies.values()), "")
    for name, (section, key) in policies.items():
        sections[section] += f"{key} = {values[name]}\n"
    text = "".join(f"[{section}]\n{lines}" for section, lines in sections.items())
    write(tmp_path, rules_toml=text.encode(), **SIGNED)
    rules = read_rules(tmp_path)
    assert {name: getattr(rules, name) for name in policies} == {name: getattr(RULES, name) for name in policies}


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    rules = read_rules(write(tmp_path))
    policies = [field for field in fields(Rules) if SECTION in field.metadata]
    assert [getattr(rules, field.name) for field in policies] == [field.default for field in policies]


def test_a_byte_order_mark_is_accepted_in_every_file(tmp_path: Path) -> None:
    plain = read_rules(write(tmp_path, rules_toml=b"[waiting]\nparked_limit = 3\n"))
    marked = {name.replace(".", "_"): b"\xef\xbb\xbf" + text.encode() for name, text in FILES.items()}
    marked["rules_toml"] = b"\xef\xbb\xbf[waiting]\nparked_limit = 3\n"
    assert read_rules(write(tmp_path, **marked)) == plain
    assert plain.parked_limit == 3


def test_a_row_of_a_map_can_be_preferred_by_imports(tmp_path: Path) -> None:
    phases = b"cost_code,phase_code,description,preferred\na,1,,yes\nb,1,,\n"
    kinds = b"cost_type,spectrum_cost_type,price_method_code,preferred\nL,L,T,\nLAB,L,T,yes\n"
    rules = read_rules(write(tmp_path, phases_csv=phases, cost_types_csv=kinds))
    assert {code: phase.preferred for code, phase in rules.phases.items()} == {"a": True, "b": False}
    assert {name: kind.preferred for name, kind in rules.cost_types.items()} == {"L": False, "LAB": True}
    assert decode_rules(encode_rules(rules).content) == rules


def test_only_one_row_of_a_target_can_be_preferred(tmp_path: Path) -> None:
    phases = b"cost_code,phase_code,description,preferred\na,1,,yes\nb,1,,yes\nc,2,,no\n"
    assert problems(write(tmp_path, phases_csv=phases)) == (
        "phases.csv, row 3: preferred: row 2 is preferred for 1 already",
        "phases.csv, row 4: preferred: yes or nothing is expected, not 'no'",
    )


def test_a_job_can_name_its_first_reference(tmp_path: Path) -> None:
    columns = "company_id,project_id,company_code,job_number,first_reference"
    text = f"{columns}\n1,1,001,J1,500\n1,2,001,J2,\n"
    rules = read_rules(write(tmp_path, jobs_csv=text.encode()))
    assert rules.jobs == {(1, 1): Job("001", "J1", 500), (1, 2): Job("001", "J2", 1)}
    text = f"{columns}\n1,1,001,J1,0\n1,2,001,J2,10000000\n1,3,001,J3,x\n1,4,001,J4\n"
    says = "a whole number from 1 to 9999999 is expected, not"
    assert problems(write(tmp_path, jobs_csv=text.encode())) == (
        f"jobs.csv, row 2: first_reference: {says} '0'",
        f"jobs.csv, row 3: first_reference: {says} '10000000'",
        f"jobs.csv, row 4: first_reference: {says} 'x'",
        "jobs.csv, row 5: 5 cells are expected, not 4",
    )
    other = columns.replace("first_reference", "first")
    [found] = problems(write(tmp_path, jobs_csv=f"{other}\n".encode()))
    assert found == f"jobs.csv, row 1: the columns {columns} are expected; first_reference may be left out"


def test_another_encoding_is_named(tmp_path: Path) -> None:
    text = "company_id,project_id,user\n4211,,J\xf6rg\n"
    write(tmp_path, rules_toml="[waiting]\n".encode("utf-16"), approvers_csv=text.encode("latin-1"))
    assert problems(tmp_path) == (
        "rules.toml: it is not in UTF-8: save it as UTF-8",
        "approvers.csv: it is not in UTF-8: save it as UTF-8",
    )


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("[aproval]\n", "aproval: no such section; there are approval, export, waiting"),
        ("approval = true\n", "approval: a section is expected: write it as [approval]"),
        ("[approval]\nfour_eyez = true\n", "approval.four_eyez: no such key"),
        ('[approval]\nfour_eyes = "yes"\n', "approval.four_eyes: Input should be a valid boolean"),
        ('[export]\nremoved_lines = "keep"\n', "export.removed_lines: Input should be 'zero' or 'block'"),
        ('[waiting]\nparked_expiry = "soon"\n', "waiting.parked_expiry: a time such as"),
        ('[waiting]\nparked_expiry = "0s"\n', "waiting.parked_expiry: a time such as"),
        ("[waiting]\nparked_limit = 0\n", "waiting.parked_limit: Input should be greater than or equal to 1"),
        (
            '[signatures]\nrequire = ["decision", "lock"]\n',
            "signatures.require: a list is expected, of any of decision, ",
        ),
        ('[signatures]\nrequire = "decision"\n', "signatures.require: a list is expected, of any of decision, "),
        ("[signatures]\nmax_age = 3\n", "signatures.max_age: a time such as"),
        (
            '[signatures]\nrequire = ["retry", "decision"]\n',
            "signatures.require: decision, retry, but signers.csv has no row: nobody can sign",
        ),
        ("[waiting\n", "it cannot be read: "),
    ],
)
def test_each_mistake_in_the_policies_is_named(tmp_path: Path, toml: str, problem: str) -> None:
    [found] = problems(write(tmp_path, rules_toml=toml.encode()))
    assert found.startswith(f"rules.toml: {problem}")


@pytest.mark.parametrize(
    "spelling",
    [
        "Jose\u0301",
        "jos\u00e9",
        "JOS\u00c9",
        "Jos\u00e9\u200b",
        "\uff2a\uff4f\uff53\u00e9",
        "\ufeffJos\u00e9",
        "  Jos\u00e9 ",
    ],
    ids=ascii,
)
def test_spellings_of_one_person_are_one_approver_and_noted(
    tmp_path: Path, spelling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"company_id,project_id,user\n4211,,Jos\u00e9\n4211,,{spelling}\n4211,2,{spelling}\n4211,,Joe\n"
    write(tmp_path, approvers_csv=text.encode())
    rules, notes = read_rules_and_notes(tmp_path)
    assert rules.approvers == {(4211, None): frozenset({"jos\u00e9", "joe"}), (4211, 2): frozenset({"jos\u00e9"})}
    note = f"approvers.csv, row 3: {spelling.strip()} is the same person as in row 2, and one approver"
    assert notes == (note,)
    monkeypatch.setenv("RULES_DIR", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    checked = CliRunner().invoke(app, ["rules", "check"])
    assert (checked.exit_code, "row 3: " in checked.stderr, "3 approvers" in checked.stdout) == (0, True, True)


def test_letters_that_only_look_alike_are_two_people(tmp_path: Path) -> None:
    write(tmp_path, approvers_csv="company_id,project_id,user\n4211,,ann\n4211,,\u0430nn\n".encode())
    rules, notes = read_rules_and_notes(tmp_path)
    assert (len(rules.approvers[4211, None]), notes) == (2, ())


def test_signers_and_their_keys_are_read(tmp_path: Path) -> None:
    rows = (
        f"{SIGNER_COLUMNS}anna-1,ANNA,4211,90071,reset retry,2026-01-01T00:00:00+01:00,2027-01-01T00:00:00Z\n"
        "anna-1,*,4211,,decision,,\nanna-1,*,4211,,decision,,\n"
    )
    rules = read_rules(write(tmp_path, **SIGNED | {"signers_csv": rows.encode()}))
    assert [(key.kid, key.algorithm, len(key.material)) for key in rules.signing_keys.values()] == [
        ("anna-1", "EdDSA", 32)
    ]
    start, end = datetime(2025, 12, 31, 23, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    assert rules.signers == (
        Signer("anna-1", "*", 4211, None, frozenset({"decision"})),
        Signer("anna-1", "anna", 4211, 90071, frozenset({"reset", "retry"}), start, end),
    )
    assert decode_rules(encode_rules(rules).content) == rules


def test_the_order_of_signers_makes_no_other_rules(tmp_path: Path) -> None:
    first, second = "anna-1,anna,4211,,decision,,\n", "anna-1,anna,4211,2,decision,,\n"
    both = [
        read_rules(write(tmp_path, **SIGNED | {"signers_csv": (SIGNER_COLUMNS + rows).encode()}))
        for rows in (first + second, second + first)
    ]
    assert both[0] == both[1]
    assert encode_rules(both[0]) == encode_rules(both[1])


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("anna-2,anna,4211,,decision,,", "kid: 'anna-2' is no key of signers.jwks.json"),
        ("anna-1,,4211,,decision,,", "user: it is empty"),
        ("anna-1,anna,,,decision,,", "company_id: a positive whole number is expected, not ''"),
        ("anna-1,anna,4211,x,decision,,", "project_id: a positive whole number is expected, not 'x'"),
        ("anna-1,anna,4211,,decision lock,,", "may: words of decision, retry, release, reset, acknowledgement are"),
        ("anna-1,anna,4211,,,,", "may: words of decision, retry, release, reset, acknowledgement are expected"),
        ("anna-1,anna,4211,,decision,2026-01-01,", "valid_from: an RFC 3339 time with offset"),
        (
            "anna-1,anna,4211,,decision,2026-01-01T00:00:00Z,2026-01-01T01:00:00+01:00",
            "valid_until: 2026-01-01T01:00:00+01:00 is not after valid_from, 2026-01-01T00:00:00Z",
        ),
    ],
)
def test_each_mistake_in_the_signers_is_named(tmp_path: Path, row: str, problem: str) -> None:
    [found] = problems(write(tmp_path, **SIGNED | {"signers_csv": f"{SIGNER_COLUMNS}{row}\n".encode()}))
    assert found.startswith(f"signers.csv, row 2: {problem}")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ([JWK | {"kid": "anna-1"}, JWK | {"kid": "anna-1"}], "this kid is listed twice"),
        ([JWK | {"kid": "anna-1"}, JWK | {"kid": "bob-1"}], "this is the same key as anna-1"),
        ([JWK | {"kid": "anna-1", "d": "x"}], "this is a private key"),
        ([JWK | {"kid": "anna 1"}], "kid of 1 to 100 printable ASCII characters"),
    ],
)
def test_each_mistake_in_the_keys_is_named(tmp_path: Path, keys: list[dict[str, str]], problem: str) -> None:
    write(tmp_path, signers_jwks_json=json.dumps({"keys": keys}).encode())
    [found] = problems(tmp_path)
    assert found.startswith("signers.jwks.json: ")
    assert problem in found


def test_an_answer_that_needs_no_signature_is_noted(tmp_path: Path) -> None:
    signed = b'[signatures]\nrequire = ["acknowledgement"]\n'
    for toml, noted in ((signed, False), (signed + b'[readback]\nacknowledges = "success"\n', True)):
        _, notes = read_rules_and_notes(write(tmp_path, rules_toml=toml, **SIGNED))
        assert [note.startswith("rules.toml: acknowledgements must be signed, but") for note in notes] == [True] * noted


def test_signers_are_shown_row_by_row(tmp_path: Path) -> None:
    before = read_rules(write(tmp_path))
    after = read_rules(write(tmp_path, rules_toml=b'[signatures]\nrequire = ["decision"]\n', **SIGNED))
    changes = [(*change.row, change.change, change.after) for change in compare_rules(before, after)]
    digest = "SHA-256 21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9"
    assert changes == [
        ("rules.toml", "signatures.require", "changed", "decision"),
        ("signers.jwks.json", "anna-1", "added", f"EdDSA, {digest}"),
        ("signers.csv", "anna-1, anna, all of 4211", "added", "may sign: decision"),
    ]
