"""How often one person may act: enough for anybody who reads first, too little for a program with somebody's cookie."""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from handlers.rules import fold_user

MOST_ACTS: Final = 60
WITHIN: Final = timedelta(minutes=1)


class ActLimit:
    """Counts the acts of each person in the last minute."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._acts: dict[str, deque[datetime]] = {}

    def count(self, user: str) -> int:
        """Count an act, unless there were too many.

        Returns:
            In how many seconds the person may act again; 0 if they may now.
        """
        now = self._now()
        self._forget(now)
        acts = self._acts.setdefault(fold_user(user), deque())
        if len(acts) >= MOST_ACTS:
            return max(ceil((acts[0] + WITHIN - now).total_seconds()), 1)
        acts.append(now)
        return 0

    def _forget(self, now: datetime) -> None:
        """Forget what is older than a minute, and everybody who has done nothing since."""
        for user, acts in list(self._acts.items()):
            while acts and now - acts[0] >= WITHIN:
                acts.popleft()
            if not acts:
                del self._acts[user]
