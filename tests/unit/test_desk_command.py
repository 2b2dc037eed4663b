"""``budget-bridge desk`` needs an extra, and no other command needs its libraries."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WITHOUT_EXTRA = """
import sys
for name in ("starlette", "jinja2", "uvicorn", "authlib"):
    sys.modules[name] = None
sys.argv = ["budget-bridge", *sys.argv[1:]]
from desk.__main__ import main
main()
"""


def test_without_its_extra_the_desk_says_what_to_install_and_the_rest_works() -> None:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", WITHOUT_EXTRA, *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    desk = run("desk")
    assert desk.returncode == 2
    assert "budget-bridge[desk]" in desk.stderr.replace("\n", " ")
    assert run("--version").returncode == 0
