"""What docs/sign.mjs signs under Node verifies here, and its Ed25519 is the vector's, byte for byte."""

import json
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any, Final

import pytest

from contracts.signature.keys import read_public_key
from contracts.signature.verifying import Verified, verify_event
from tests.unit.test_signature_vector import VECTOR

PAGE: Final = Path("docs/signatures.md").read_text(encoding="utf-8")
SCRIPT: Final = Path("docs/sign.mjs")
NODE: Final = shutil.which("node")
needs_node: Final = pytest.mark.skipif(NODE is None, reason="there is no Node here")


def run_node(program: str, *inputs: object) -> Any:
    """Run a module in Node that has ``sign`` and its ``inputs``, and read the JSON that it prints."""
    assert NODE
    start = f"import {{ sign }} from {json.dumps(str(SCRIPT.resolve()))}; const inputs = {json.dumps(inputs)};"
    command = [NODE, "--input-type=module", "--eval", start + program]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_the_page_shows_the_script_as_it_is() -> None:
    assert f"```js\n{SCRIPT.read_text(encoding='utf-8')}```" in PAGE


@needs_node
def test_the_script_signs_the_vector() -> None:
    program = """
      const [vector] = inputs;
      const key = await crypto.subtle.importKey("jwk", vector.private_jwk, "Ed25519", false, ["sign"]);
      console.log(JSON.stringify(await sign(vector.attributes, vector.data, vector.private_jwk.kid, key)));"""
    assert run_node(program, VECTOR) == VECTOR["dssematerial"]


@needs_node
@pytest.mark.parametrize(
    ("algorithm", "alg"),
    [({"name": "Ed25519"}, "EdDSA"), ({"name": "ECDSA", "namedCurve": "P-256"}, "ES256")],
)
def test_what_a_key_of_the_browser_signs_verifies(algorithm: dict[str, str], alg: str) -> None:
    program = """
      const [algorithm, attributes, data] = inputs;
      const pair = await crypto.subtle.generateKey(algorithm, false, ["sign", "verify"]);
      const jwk = await crypto.subtle.exportKey("jwk", pair.publicKey);
      console.log(JSON.stringify({ jwk, dssematerial: await sign(attributes, data, "ui-1", pair.privateKey) }));"""
    data = VECTOR["data"].replace('"reason":null', '"reason":"größer als geplant ✓"')
    made = run_node(program, algorithm, VECTOR["attributes"], data)
    key = read_public_key(made["jwk"] | {"kid": "ui-1", "alg": alg})
    event = VECTOR["attributes"] | {
        "data_base64": b64encode(data.encode()).decode(),
        "dssematerial": made["dssematerial"],
    }
    assert isinstance(verify_event(event, {"ui-1": key}), Verified)
