"""Senders that are silent or slow: each is ended after its time, leaves nothing, and keeps no other out."""

import socket
import struct
import time
from contextlib import closing

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from meddenoise.batch.node.settings import Node
from meddenoise.batch.node.spool import Spool
from tests.batch.node.machines import HOST, free_port, make_series, wait_for

pynetdicom = pytest.importorskip("pynetdicom", reason="the extra node is not installed")
pytestmark = pytest.mark.network
TIMEOUT_S = 3.0
PATIENCE_S = 40.0
"""Until a test fails: the machine may be busy."""
HALF_A_REQUEST = struct.pack(">BBL", 1, 0, 200) + b"\0\1" + b" " * 40


@pytest.fixture
def listening(tmp_path):
    """A receiver for two senders at a time that loses patience soon, and its spool."""
    from meddenoise.batch.node.receive import Receiver

    spool = Spool(tmp_path / "spool", [])
    spool.enter()
    settings = Node(
        allow=("CT1",), spool=str(spool.root), port=free_port(), timeout_s=TIMEOUT_S, max_associations=2
    )
    receiver = Receiver(settings, spool)
    receiver.start()
    yield receiver, spool
    receiver.stop()
    spool.leave()


def associate(receiver):
    ae = pynetdicom.AE("CT1")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate(HOST, receiver.port, ae_title="MEDDENOISE")
    return association if association.is_established else None


def connect(receiver):
    return socket.create_connection((HOST, receiver.port), timeout=5)


def fragment(association, length=1):
    """A PDU with a part of a command that is not its last."""
    context = association.accepted_contexts[0].context_id
    return struct.pack(">BBLLBB", 4, 0, length + 6, length + 2, context, 1) + bytes(length)


def sent_slowly(peer, content, pause_s=0.2):
    """True once the peer has closed the connection before all bytes are sent, one at a time."""
    end = time.monotonic() + PATIENCE_S
    try:
        for part in content:
            peer.sendall(part)
            time.sleep(pause_s)
            if time.monotonic() > end:
                return False
    except OSError:
        return True
    return False


def test_connections_that_ask_for_nothing_are_closed_and_keep_no_sender_out(listening, tmp_path):
    receiver, spool = listening
    silent, stopped, slow = (connect(receiver) for _ in range(3))
    with closing(silent), closing(stopped), closing(slow):
        stopped.sendall(HALF_A_REQUEST)
        image = dcmread(next(make_series(tmp_path / "in", "beside", 1).iterdir()))
        association = associate(receiver)
        assert association is not None
        assert association.send_c_store(image).Status == 0
        association.release()
        assert sent_slowly(slow, (bytes([one]) for one in HALF_A_REQUEST * 50))
        for peer in (silent, stopped):
            peer.settimeout(PATIENCE_S)
            assert peer.recv(1) == b""
    assert [failed for _, failed in spool.settle(0, 60)] == [False]


def test_slow_associations_up_to_the_limit_make_room_after_their_time_and_leave_nothing(listening, tmp_path):
    receiver, spool = listening
    silent, halfway = associate(receiver), associate(receiver)
    halfway.dul.socket.socket.sendall(fragment(halfway, 1000)[:500])
    assert associate(receiver) is None
    association = wait_for(lambda: associate(receiver), "room", PATIENCE_S)
    image = dcmread(next(make_series(tmp_path / "in", "after", 1).iterdir()))
    assert association.send_c_store(image).Status == 0
    association.release()
    wait_for(lambda: not (silent.is_established or halfway.is_established), "both ends", PATIENCE_S)
    receiver.reap()
    ((job, failed),) = spool.settle(0, 60)
    assert not failed and len(list(job.glob("*.dcm"))) == 1
    left = [path for path in spool.root.rglob("*") if path.is_file() and job not in path.parents]
    assert left == [spool.root / ".lock"]


@pytest.mark.parametrize("whole", [True, False], ids=["PDUs of a byte", "bytes of a PDU"])
def test_a_message_that_never_ends_is_broken_off(listening, whole):
    receiver, _ = listening
    association = associate(receiver)
    one = fragment(association)
    content = (one for _ in range(10_000)) if whole else (bytes(1) for _ in range(10_000))
    stream = association.dul.socket.socket
    if not whole:
        stream.sendall(fragment(association, 10_000)[:12])
    assert sent_slowly(stream, content)
    wait_for(lambda: not association.is_established, "the end", PATIENCE_S)


def test_a_sender_that_pauses_between_images_and_sends_on_is_served(listening, tmp_path):
    receiver, _ = listening
    association = associate(receiver)
    for file in sorted(make_series(tmp_path / "in", "pausing", 4).iterdir()):
        time.sleep(TIMEOUT_S / 3)
        assert association.send_c_store(dcmread(file)).Status == 0
    association.release()


def test_a_stop_does_not_wait_for_the_rest_of_an_image(tmp_path):
    from meddenoise.batch.node.receive import Receiver

    spool = Spool(tmp_path / "spool", [])
    spool.enter()
    settings = Node(allow=("CT1",), spool=str(spool.root), port=free_port(), timeout_s=600)
    receiver = Receiver(settings, spool)
    receiver.start()
    association = associate(receiver)
    association.dul.socket.socket.sendall(fragment(association, 1000)[:500])
    time.sleep(1)
    began = time.monotonic()
    receiver.stop()
    assert time.monotonic() - began < 30
    assert not receiver.is_alive
    spool.leave()
