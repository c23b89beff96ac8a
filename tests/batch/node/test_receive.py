"""The receiver alone: what it confirms is on the disk, whatever ends it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from meddenoise.batch.node.settings import Node
from meddenoise.batch.node.spool import Spool, digest
from meddenoise.errors import OutputError
from tests.batch.node.machines import HOST, free_port, make_series, wait_for

pynetdicom = pytest.importorskip("pynetdicom", reason="the extra node is not installed")
pytestmark = pytest.mark.network


@pytest.fixture
def listening(tmp_path):
    """A receiver that listens, and its spool."""
    from meddenoise.batch.node.receive import Receiver

    spool = Spool(tmp_path / "spool", [])
    spool.enter()
    receiver = Receiver(Node(allow=("CT1",), spool=str(spool.root), port=free_port()), spool)
    receiver.start()
    yield receiver, spool
    if receiver.is_alive:
        receiver.stop()
    spool.leave()


def associate(receiver):
    ae = pynetdicom.AE("CT1")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    return ae.associate(HOST, receiver.port, ae_title="MEDDENOISE")


def test_what_was_confirmed_before_a_stop_is_on_the_disk(listening, tmp_path):
    receiver, spool = listening
    images = [dcmread(file) for file in sorted(make_series(tmp_path / "in", "stopped", 12).iterdir())]
    confirmed = set()
    association = associate(receiver)
    with ThreadPoolExecutor(1) as stopping:
        for image in images:
            try:
                status = association.send_c_store(image)
            except RuntimeError:  # the association is over
                break
            if "Status" in status and status.Status == 0:
                confirmed.add(f"{digest(image.SOPInstanceUID)}.dcm")
            if len(confirmed) == 3:
                stopped = stopping.submit(receiver.stop)
        stopped.result()
    kept = {path.name for path in (spool.root / "receiving").rglob("*.dcm")}
    assert len(confirmed) >= 3
    assert kept >= confirmed
    assert not list((spool.root / "incoming").iterdir())
    assert not receiver.is_alive


def test_a_spool_without_room_is_told_to_the_sender(listening, tmp_path):
    receiver, spool = listening
    image = dcmread(next(make_series(tmp_path / "in", "full", 1).iterdir()))
    (spool.root / "incoming").rmdir()
    association = associate(receiver)
    assert association.send_c_store(image).Status == 0xA700
    (spool.root / "incoming").mkdir()
    assert association.send_c_store(image).Status == 0x0000
    association.release()


def test_a_series_that_had_no_room_is_no_whole_one(listening, tmp_path):
    receiver, spool = listening
    images = [dcmread(file) for file in sorted(make_series(tmp_path / "in", "half", 2).iterdir())]
    association = associate(receiver)
    assert association.send_c_store(images[0]).Status == 0x0000
    (spool.root / "incoming").rmdir()
    assert association.send_c_store(images[1]).Status == 0xA700
    assert spool.settle(0, 60) == []
    association.release()
    assert spool.settle(0, 60) == []
    (spool.root / "incoming").mkdir()
    association = associate(receiver)
    assert association.send_c_store(images[1]).Status == 0x0000
    association.release()
    wait_for(lambda: [failed for _, failed in spool.settle(0, 60)] == [False], "the whole series", 10)


def test_a_port_that_is_taken_is_named(listening):
    from meddenoise.batch.node.receive import Receiver

    receiver, spool = listening
    taken = Node(allow=("CT1",), spool="", port=receiver.port)
    with pytest.raises(OutputError, match=f"port {receiver.port} at {HOST} cannot be opened"):
        Receiver(taken, spool).start()
