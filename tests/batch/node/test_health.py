"""The health endpoint: it answers whatever its callers do, and its log stays a log."""

import io
import socket
import struct
import sys
import urllib.error
import urllib.request

import pytest

from meddenoise.batch.node.health import Health
from meddenoise.batch.node.log import log, start_log
from tests.batch.node.machines import HOST, free_port, wait_for


def ask(port):
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def endpoint():
    """Starts an endpoint with a report and gives its port."""
    started = []

    def start(report):
        port = free_port()
        started.append(Health(port, report))
        started[-1].start()
        return port

    yield start
    for health in started:
        health.stop()


@pytest.mark.network
def test_callers_that_break_off_are_answered_by_silence(endpoint, capfd):
    port = endpoint(lambda: (True, {"status": "ok"}))
    for request in (b"GET /health HTTP/1.0\r\n\r\n", b"GET /hea", b"\x16\x03\x01\xff\r\n\r\n", b""):
        for _ in range(10):
            with socket.create_connection((HOST, port), timeout=10) as caller:
                caller.sendall(request)
                # closed with a reset
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert ask(port) == 200
    assert capfd.readouterr().err == ""


@pytest.mark.network
def test_an_answer_that_cannot_be_made_is_a_line_in_a_log_that_quotes_nothing(
    endpoint, capfd, caplog, monkeypatch
):
    def report():
        raise RuntimeError("Secret^Person")

    with monkeypatch.context() as closed:
        closed.setattr(sys, "stderr", io.StringIO())
        closed.setattr(log, "handlers", [])
        start_log(0)
        sys.stderr.close()
        handlers = log.handlers
    monkeypatch.setattr(log, "handlers", [*handlers, caplog.handler])
    port = endpoint(report)
    with pytest.raises(ConnectionError):
        ask(port)
    wait_for(lambda: "no answer at /health (RuntimeError)" in caplog.text, "the line in the log", 10)
    assert "Secret" not in caplog.text + capfd.readouterr().err
