"""Which version of budget-bridge this is."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def read_version() -> str:
    """Read the version of the installed distribution."""
    try:
        return version("budget-bridge")
    except PackageNotFoundError:
        return "(a checkout that is not installed)"
