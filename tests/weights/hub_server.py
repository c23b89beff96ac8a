"""The part of the Hugging Face Hub's HTTP interface that a download uses, served on loopback.

`/OWNER/REPO/resolve/REVISION/FILE` answers as the Hub does for large files: a redirect to another host with
the commit, the SHA-256 and the size in headers, or an error status with X-Error-Code. The other host
("localhost" beside 127.0.0.1) sends the bytes and honours Range.
"""

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

REPO = "loopback/made-up"
COMMIT = "c0ffee" + "0" * 34
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class HubServer:
    """A server that runs inside `with`; its fields may be changed while it runs."""

    files: dict[str, bytes]
    revisions: dict[str, str] = field(default_factory=lambda: {"main": COMMIT, "v1": COMMIT, COMMIT: COMMIT})
    error: tuple[int, str] | None = None
    """Status and X-Error-Code every resolve request is answered with."""
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the connection of the first, second... transfer is dropped."""
    delay_s: float = 0.0
    """Before each answer."""
    chunk_delay_s: float = 0.0
    log: list[tuple[str, str, str]] = field(default_factory=list)
    """(verb, path, Range header) of every request."""

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.elsewhere = f"http://localhost:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def transfers(self):
        """The Range headers of the requests for bytes."""
        return [sent for verb, path, sent in self.log if verb == "GET" and path.startswith("/cdn/")]


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        self.hub.log.append((self.command, self.path, self.headers.get("Range", "")))
        time.sleep(self.hub.delay_s)
        if self.path.startswith("/cdn/"):
            self.send_bytes(self.path.removeprefix("/cdn/"))
        else:
            self.resolve()

    def resolve(self):
        repo, _, rest = self.path.removeprefix("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        if self.hub.error is not None:
            self.send_error_code(*self.hub.error)
        elif repo != REPO:
            self.send_error_code(401, "RepoNotFound")
        elif revision not in self.hub.revisions:
            self.send_error_code(404, "RevisionNotFound")
        elif name not in self.hub.files:
            self.send_error_code(404, "EntryNotFound")
        else:
            content = self.hub.files[name]
            self.send_response(302)
            self.send_header("Location", f"{self.hub.elsewhere}/cdn/{name}")
            self.send_header("X-Repo-Commit", self.hub.revisions[revision])
            self.send_header("X-Linked-ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("Content-Length", "0")
            self.end_headers()

    def send_error_code(self, status, code):
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_bytes(self, name):
        content = self.hub.files[name]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        cut = self.hub.cuts.pop(0) if self.hub.cuts else len(content)
        stop = min(len(content), start + cut)
        for position in range(start, stop, 4096):
            self.wfile.write(content[position : min(stop, position + 4096)])
            time.sleep(self.hub.chunk_delay_s)
        self.close_connection = stop < len(content)

    def log_message(self, *_):
        pass


def environment(folder, endpoint="http://127.0.0.1:9", **more):
    """Environment of a process whose home, cache and Hub are below `folder` and at `endpoint`."""
    keep = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LANG") if name in os.environ}
    return {
        **keep,
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "HF_HOME": str(folder / "huggingface"),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_ETAG_TIMEOUT": "2",
        "HF_HUB_DOWNLOAD_TIMEOUT": "2",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "*",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        **more,
    }


def start(code, *arguments, env, **options):
    """A running Python process; `run` waits for one."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run(code, *arguments, env, **options):
    """(exit code, stdout, stderr) of a Python process."""
    process = start(code, *arguments, env=env, **options)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err
