"""Whether each of our root packages belongs to our distribution alone; their names are plain enough to collide.

Also run as a script, by an interpreter that has the wheel: it needs the standard library only.
"""

import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions

DISTRIBUTION = "budget-bridge"
ROOT_PACKAGES = frozenset({"contracts", "desk", "handlers", "outbox", "worker"})


def find_owners(installed: Iterable[Distribution]) -> dict[str, set[str]]:
    """The distributions that install something under each of our root packages."""
    owners: dict[str, set[str]] = {name: set() for name in ROOT_PACKAGES}
    for distribution in installed:
        for file in distribution.files or ():
            root = file.parts[0].removesuffix(".py")
            if root in owners:
                owners[root].add(distribution.name)
    return owners


if __name__ == "__main__":
    found = find_owners(distributions())
    wrong = {name: owners for name, owners in found.items() if owners != {DISTRIBUTION}}
    if wrong:
        sys.exit(f"each of these must belong to {DISTRIBUTION} alone: {wrong}")
    print(f"{', '.join(sorted(found))} belong to {DISTRIBUTION} alone")  # noqa: T201
