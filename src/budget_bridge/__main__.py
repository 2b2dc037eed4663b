"""Puts the command line together: the worker's commands, and the demo."""

from budget_bridge.demo.command import demo
from budget_bridge.worker.command_line import app


def main() -> None:
    """Run the command that was asked for."""
    app.command("demo")(demo)
    app()


if __name__ == "__main__":
    main()
