"""The command ``budget-bridge`` with the desk: the worker's commands, and ``desk``, which the worker cannot import."""

from desk.command import run_desk
from worker.__main__ import app, main

app.command("desk")(run_desk)

if __name__ == "__main__":
    main()
