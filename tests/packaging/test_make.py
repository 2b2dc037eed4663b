"""``make PYTHON=…`` has an environment for each Python, and leaves the others as they are."""

import os
import subprocess
import sys

from tests.packaging.conftest import ROOT

VERSION = "{}.{}".format(*sys.version_info[:2])


def show(*arguments: str) -> str:
    """What make would run, were nothing installed yet."""
    # These tests may be run by make, whose own variables must not pass on.
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", *arguments],
        cwd=ROOT,
        env=kept,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_without_a_choice_everything_is_in_one_environment() -> None:
    commands = show("test")
    assert ".venv/bin/python -m pytest" in commands
    assert ".venv-" not in commands


def test_a_chosen_python_has_an_environment_of_its_own() -> None:
    commands = show("test", f"PYTHON={sys.executable}")
    assert f"{sys.executable} -m venv .venv-{VERSION}\n" in commands
    assert f".venv-{VERSION}/bin/python -m pytest" in commands
    assert ".venv/" not in commands.replace(sys.executable, "")


def test_the_wheel_has_an_environment_of_its_own() -> None:
    commands = show("demo-wheel", f"PYTHON={sys.executable}")
    assert f"{sys.executable} -m venv .venv-{VERSION}-wheel\n" in commands
    assert f'BUDGET_BRIDGE=".ci/sealed .venv-{VERSION}-wheel budget-bridge"' in commands


def test_the_suite_shares_one_pair_of_servers() -> None:
    assert "--share-servers" in show("test")


def test_ci_has_a_browser_before_it_tests_and_says_so_where_it_cannot() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    assert "install -y --no-install-recommends chromium" in ci
    assert "CHROMIUM CANNOT BE INSTALLED" in ci
    assert ci.index("command -v chromium") < ci.index("make test")


def test_ci_ends_with_the_summary_of_the_suite() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"
