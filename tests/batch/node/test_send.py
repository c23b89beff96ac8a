"""Delivering: refusals and full archives in DICOM, statuses, tokens and certificates in DICOMweb."""

import logging
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydicom import dcmread

from meddenoise.batch.node import send
from meddenoise.batch.node.send import RefusedError, Sender, UnreachableError
from meddenoise.batch.node.settings import Destination
from meddenoise.batch.node.spool import Spool
from meddenoise.batch.node.transports import open_transport
from tests.batch.node.machines import HOST, free_port, make_series, wait_for

pynetdicom = pytest.importorskip("pynetdicom", reason="the extra node is not installed")
pytestmark = pytest.mark.network


class Archive:
    """An archive in this process that answers every C-STORE with `status`."""

    def __init__(self, classes=("1.2.840.10008.5.1.4.1.1.2",)):
        self.port, self.status, self.taken = free_port(), 0x0000, []
        ae = pynetdicom.AE("PACS")
        for one in classes:
            ae.add_supported_context(one)
        handlers = [(pynetdicom.evt.EVT_C_STORE, self._store)]
        self.server = ae.start_server((HOST, self.port), block=False, evt_handlers=handlers)

    def _store(self, event):
        if self.status == 0x0000:
            self.taken.append(event.request.AffectedSOPInstanceUID)
        return self.status


@pytest.fixture
def archive():
    made = Archive()
    yield made
    made.server.shutdown()


def transport_to(archive):
    return open_transport(Destination(name="pacs", host=HOST, port=archive.port, ae_title="PACS"), "NODE")


def files_in(tmp_path, planes=2):
    return sorted(make_series(tmp_path / "files", "to be sent", planes).iterdir())


def test_every_image_is_sent_once_and_reported(archive, tmp_path):
    files, sent = files_in(tmp_path), []
    transport_to(archive).send(files, sent.append)
    assert sent == files
    assert archive.taken == [dcmread(file).SOPInstanceUID for file in files]


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [
        (0xA700, UnreachableError, "has no room"),
        (0xA900, RefusedError, "0xA900"),
        (0xC123, RefusedError, "0xC123"),
    ],
)
def test_a_full_archive_is_tried_later_and_another_answer_is_a_refusal(
    archive, tmp_path, status, error, sentence
):
    archive.status = status
    sent = []
    with pytest.raises(error, match=sentence):
        transport_to(archive).send(files_in(tmp_path), sent.append)
    assert sent == []


def test_warnings_count_as_sent(archive, tmp_path):
    archive.status = 0xB007
    sent = []
    transport_to(archive).send(files_in(tmp_path), sent.append)
    assert len(sent) == 2


def test_an_archive_that_is_down_is_unreachable(tmp_path):
    to = Destination(name="pacs", host=HOST, port=free_port(), ae_title="PACS")
    with pytest.raises(UnreachableError, match=f"PACS at {HOST}:{to.port} cannot be reached"):
        open_transport(to, "NODE").send(files_in(tmp_path, 1), lambda file: None)


def test_an_archive_that_takes_other_kinds_of_images_alone_is_named(tmp_path):
    other = Archive(["1.2.840.10008.5.1.4.1.1.4"])
    try:
        with pytest.raises(UnreachableError, match="accepts none of these images"):
            transport_to(other).send(files_in(tmp_path, 1), lambda file: None)
    finally:
        other.server.shutdown()


def outbox_with(tmp_path):
    """A spool with one series to be sent."""
    spool = Spool(tmp_path / "spool", ["pacs"])
    spool.enter()
    job = spool.root / "waiting" / "1-abc"
    job.mkdir()
    make_series(spool.begin(job), "refused", 1)
    spool.hand_over(job)
    return spool


def test_a_series_refused_again_and_again_is_put_aside_with_the_reason(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(send, "FIRST_PAUSE_S", 0.01)
    archive.status = 0xA900
    spool, stop = outbox_with(tmp_path), threading.Event()
    to = Destination(name="pacs", host=HOST, port=archive.port, ae_title="PACS", retry_s=0.02)
    sender = Sender(to, transport_to(archive), spool, stop)
    sender.start()
    try:
        why = spool.root / "failed" / "1-abc" / "why.txt"
        wait_for(why.exists, "the series to be put aside")
        assert "pacs refused it: it answers with status 0xA900" in why.read_text()
        assert f"mv {why.parent} {spool.root}/outbox/pacs" in why.read_text()
        # as the file says, once the archive takes it
        archive.status = 0x0000
        why.parent.rename(spool.root / "outbox" / "pacs" / "1-abc")
        wait_for(lambda: archive.taken and not spool.outbox("pacs"), "its delivery")
    finally:
        stop.set()
        sender.join()
        spool.leave()


class Web:
    """A server that answers every request with `status` and keeps what it was sent."""

    def __init__(self):
        self.status, self.requests = 200, []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.requests.append((self.path, dict(self.headers), body))
                self.send_response(web.status)
                self.end_headers()

            def log_message(self, *given):
                pass

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def web():
    made = Web()
    yield made
    made.server.shutdown()
    made.server.server_close()


def stow_to(url, token_file=""):
    return open_transport(Destination(name="web", url=url, token_file=str(token_file)), "NODE")


def test_instances_are_posted_whole_with_the_token(web, tmp_path):
    (tmp_path / "token.txt").write_text("s3cret\n")
    files, sent = files_in(tmp_path), []
    stow_to(f"http://{HOST}:{web.port}/dicom-web/", tmp_path / "token.txt").send(files, sent.append)
    assert sent == files
    for (path, headers, body), file in zip(web.requests, files, strict=True):
        assert path == "/dicom-web/studies"
        assert headers["Authorization"] == "Bearer s3cret"
        assert headers["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')
        assert file.read_bytes() in body


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (202, RefusedError),
        (409, RefusedError),
        (301, RefusedError),
        (401, UnreachableError),
        (503, UnreachableError),
    ],
)
def test_statuses_are_refusals_or_reasons_to_wait_and_never_name_the_token(
    web, tmp_path, status, error, caplog
):
    (tmp_path / "token.txt").write_text("s3cret")
    web.status = status
    sent = []
    with caplog.at_level(logging.DEBUG), pytest.raises(error, match=str(status)) as caught:
        url = f"http://{HOST}:{web.port}/x"
        stow_to(url, tmp_path / "token.txt").send(files_in(tmp_path, 1), sent.append)
    assert sent == []
    assert "s3cret" not in f"{caught.value} {caplog.text}"


def test_a_certificate_nobody_vouches_for_gets_no_image(web, tmp_path):
    name, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    try:
        subprocess.run([*command, "-keyout", key, "-out", name], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(name, key)
    web.server.socket = context.wrap_socket(web.server.socket, server_side=True)
    with pytest.raises(UnreachableError, match="certificate"):
        stow_to(f"https://localhost:{web.port}/x").send(files_in(tmp_path, 1), lambda file: None)
    assert web.requests == []


def test_a_missing_token_is_named(tmp_path):
    with pytest.raises(UnreachableError, match=r"the token cannot be read: .*none\.txt"):
        stow_to(f"http://{HOST}:1/x", tmp_path / "none.txt").send(files_in(tmp_path, 1), lambda file: None)
