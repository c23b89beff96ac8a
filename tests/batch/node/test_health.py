"""The health endpoint: it answers whatever its callers do, and its log stays a log."""

import socket
import struct
import urllib.error
import urllib.request

import pytest

from meddenoise.batch.node.health import Health
from meddenoise.batch.node.log import log
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
def test_an_answer_that_cannot_be_made_is_a_line_in_the_log(endpoint, capfd, caplog):
    def report():
        raise RuntimeError("Secret^Person")

    log.addHandler(caplog.handler)  # the log of a node goes nowhere else
    port = endpoint(report)
    with pytest.raises(ConnectionError):
        ask(port)
    wait_for(lambda: "no answer at /health (RuntimeError)" in caplog.text, "the line in the log", 10)
    log.removeHandler(caplog.handler)
    assert "Secret" not in caplog.text + capfd.readouterr().err
