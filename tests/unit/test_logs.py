"""The log of a worker: what others wrote cannot control the terminal that shows it."""

import json

import pytest
import structlog

from worker.telemetry.logs import configure_log


@pytest.fixture(autouse=True)
def _configured() -> object:
    yield
    structlog.reset_defaults()


def _fail(why: str) -> None:
    raise ValueError(why)


def test_no_text_of_a_message_controls_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    log = configure_log("console")
    log.info("message.applied", id="a\u202eb\x1b[31m", detail="two words \x9b", budget="7/1/2")
    try:
        _fail("\x1b]0;title\x07")
    except ValueError:
        log.exception("batch.failed")
    shown = capsys.readouterr().out
    assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(shown)
    assert r"a\u202eb\x1b[31m" in shown
    assert "Traceback (most recent call last)" in shown


def test_json_lines_keep_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log("json").info("message.applied", id="a\u202eb")
    assert json.loads(capsys.readouterr().out)["id"] == "a\u202eb"
