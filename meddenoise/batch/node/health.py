"""GET /health on loopback: whether the node works, and how many series are where."""

import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from meddenoise.batch.node.log import log
from meddenoise.errors import OutputError

Report = Callable[[], tuple[bool, dict[str, object]]]


class Health:
    """Answers from `start` to `stop`: 200 where `report` says all is well, else 503, with what it gives."""

    def __init__(self, port: int, report: Report) -> None:
        try:
            self._server = _Server(("127.0.0.1", port), _handler(report))
        except OSError as error:
            raise OutputError(
                f"health_port {port} cannot be opened ({error.strerror or error}): choose another."
            ) from error

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line, or nothing if the peer is gone; the standard library would print a traceback."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            log.error("no answer at /health (%s)", type(error).__name__)


def _handler(report: Report) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            """One answer."""
            if self.path != "/health":
                self.send_error(404)
                return
            well, content = report()
            body = json.dumps(content).encode()
            self.send_response(200 if well else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a container asks every few seconds."""

    return Handler
