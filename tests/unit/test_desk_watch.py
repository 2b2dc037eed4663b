"""The console shows findings of the watch about budgets that its reader may see, and copes with any other answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from desk.rights import Rights
from desk.watch_findings import Finding, choose_findings, load_findings
from tests.unit.builders import KEY, RULES


@contextmanager
def answer_with(body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        thread.join()


def write(body: str) -> bytes:
    return b"HTTP/1.0 200 OK\r\n\r\n" + body.encode()


def test_findings_are_read_as_the_watch_writes_them() -> None:
    with answer_with(write('{"judged_ms": 1, "findings": [{"kind": "lost", "budget": "1/2/3", "says": "…"}]}')) as url:
        assert load_findings(url) == [Finding("1/2/3", "lost", "…")]


@pytest.mark.parametrize(
    "body", [write("{}"), write("[]"), write('{"findings": [{}]}'), write('{"findings": 1}'), write("<p>"), b"no HTTP"]
)
def test_something_else_that_answers_is_a_value_error(body: bytes) -> None:
    with answer_with(body) as url, pytest.raises(ValueError):  # noqa: PT011 - what the console shows
        load_findings(url)


def test_only_findings_of_budgets_that_somebody_may_see_are_chosen() -> None:
    findings = [Finding(budget, "lost", "…") for budget in ("9/9/9", str(KEY), "no key")]
    assert choose_findings(findings, Rights("ann", RULES)) == [findings[1]]
    assert choose_findings(findings, Rights("eve", RULES)) == []
    assert choose_findings(findings, Rights("eve", RULES, frozenset({(9, None)}))) == [findings[0]]
