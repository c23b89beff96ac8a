"""A node between a real modality and a real archive: DCMTK sends, Orthanc receives, on loopback."""

import hashlib
import re
import signal
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from tests.batch.node import machines
from tests.batch.node.machines import (
    HOST,
    PLUGIN,
    Archive,
    Node,
    by_cstore,
    by_web,
    make_series,
    store,
    wait_for,
)
from tests.commands import run

pynetdicom = pytest.importorskip("pynetdicom", reason="the extra node is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.skipif(bool(machines.missing()), reason=machines.missing()),
]
BAD_LINES = re.compile(r"Traceback|Error:|^(?!\d{4}-).", re.MULTILINE)
"""Lines that the log must not have: a traceback, or those of another library."""
BROKEN = (0xA700, 0xA900, 0xC000, 0x0117)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """An archive, and a node that sends to it."""
    archive = Archive(tmp_path_factory.mktemp("pacs"))
    node = Node(tmp_path_factory.mktemp("node"), by_cstore(archive), max_object_mib=1, quiet_s=1)
    try:
        archive.start()
        node.start()
        yield node, archive
    finally:
        machines.kill_all(node, archive)


def files_of(folder):
    return sorted(folder.glob("*.dcm"))


def derived(archive, folder):
    """The series in the archive whose images are of the same study as those of a folder."""
    study = dcmread(files_of(folder)[0]).StudyInstanceUID
    for series in archive.series().values():
        found = archive.get(f"/studies/{series['ParentStudy']}")
        if found["MainDicomTags"]["StudyInstanceUID"] == study:
            return series
    return None


def arrived(archive, folder, count):
    """Wait for the derived series of a folder, whole."""

    def whole():
        series = derived(archive, folder)
        return series if series is not None and len(series["Instances"]) == count else None

    return wait_for(whole, f"the result of {folder.name}")


def associate(node, calling="CT1"):
    """An association of pynetdicom as sender, for what storescu would not send."""
    ae = pynetdicom.AE(calling)
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    ae.add_requested_context("1.2.840.10008.1.1")
    return ae.associate(HOST, node.port, ae_title="MEDDENOISE")


def lingering(node):
    """True if the node refuses an association for want of room."""
    association = associate(node)
    if association.is_established:
        association.release()
        return False
    return True


def answers(node):
    association = associate(node)
    assert association.is_established
    assert association.send_c_echo().Status == 0
    association.release()


def test_a_series_comes_back_as_a_new_series_of_its_study_with_the_pixels_of_denoise(chain, tmp_path):
    node, archive = chain
    source = make_series(tmp_path / "in", "plain", 3)
    assert store(files_of(source), node.port) == 0
    series = arrived(archive, source, 3)
    run("denoise", source, "-o", tmp_path / "out", "--method", "gaussian", "--device", "cpu", "--no-report")
    expected = {}
    for path in files_of(tmp_path / "out"):
        image = dcmread(path)
        expected[image.SOPInstanceUID] = hashlib.sha256(image.PixelData).hexdigest()
    originals = dcmread(files_of(source)[0])
    assert series["MainDicomTags"]["SeriesInstanceUID"] != originals.SeriesInstanceUID
    patient = archive.get(f"/series/{series['ID']}/patient")["MainDicomTags"]
    assert (patient["PatientID"], patient["PatientName"]) == ("SECRET-ID", "Secret^Person")
    found = {}
    for name in series["Instances"]:
        tags = archive.get(f"/instances/{name}/simplified-tags")
        assert tags["ImageType"].startswith("DERIVED\\SECONDARY")
        pixels = archive.get(f"/instances/{name}/content/7fe0-0010/0")
        found[tags["SOPInstanceUID"]] = hashlib.sha256(pixels).hexdigest()
    assert found == expected


def test_fifty_series_at_once_all_arrive(chain, tmp_path):
    node, archive = chain
    sources = [make_series(tmp_path / f"{k}", f"many {k}", 1 + (k < 10)) for k in range(50)]
    batches = [[file for source in sources[k::5] for file in files_of(source)] for k in range(5)]
    with ThreadPoolExecutor(5) as senders:
        assert list(senders.map(lambda files: store(files, node.port), batches)) == [0] * 5
    before = len(archive.series())
    wait_for(lambda: node.idle, "fifty series", 400)
    counts = {}
    for series in archive.series().values():
        study = archive.get(f"/studies/{series['ParentStudy']}")["MainDicomTags"]["StudyInstanceUID"]
        counts[study] = len(series["Instances"])
    assert len(archive.series()) >= max(before, 50)
    for source in sources:
        assert counts[dcmread(files_of(source)[0]).StudyInstanceUID] == len(files_of(source))


def test_only_allowed_senders_are_heard_and_only_by_the_right_name(chain, tmp_path):
    node, _ = chain
    files = files_of(make_series(tmp_path, "refused", 1))
    assert store(files, node.port, calling="STRANGER") != 0
    assert store(files, node.port, called="OTHER") != 0
    answers(node)
    assert "STRANGER" in node.log


def test_hostile_images_are_refused_and_leave_nothing(chain, tmp_path):
    node, _ = chain
    path = files_of(make_series(tmp_path, "hostile", 1))[0]
    before = set(node.spool.rglob("*"))
    for change in (
        {"SOPInstanceUID": "../../../tmp/x"},
        {"SOPInstanceUID": "1.2/../../x"},
        {"SeriesInstanceUID": "../x"},
        {"StudyInstanceUID": ""},
        {"SeriesInstanceUID": "1." * 40},
    ):
        image = dcmread(path)
        image.update(change)
        association = associate(node)
        status = association.send_c_store(image)
        assert status.Status in BROKEN, change
        association.release()
    association = associate(node)
    image = dcmread(path)
    image.SOPInstanceUID = generate_uid()
    request = pynetdicom.dimse_primitives.C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = image.SOPClassUID, "1.2.3"
    for content in (b"\x08\x00", b"\xff" * 3000, path.read_bytes()[400:900]):
        assert reply(association, request, content) in BROKEN
    assert reply(association, request, encoded(image)) == 0xA900
    association.release()
    assert set(node.spool.rglob("*")) == before
    answers(node)


def reply(association, request, content):
    """The status that answers a request with this data set."""
    from io import BytesIO

    request.DataSet = BytesIO(content)
    context = next(one for one in association.accepted_contexts if one.abstract_syntax == CTImageStorage)
    association._reactor_checkpoint.clear()
    wait_for(lambda: association._is_paused, "the reactor to pause")
    association.dimse.send_msg(request, context.context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return answer.Status


def encoded(image: Dataset) -> bytes:
    from pynetdicom.dsutils import encode

    result = encode(image, False, True)
    assert result is not None
    return result


def test_an_image_beyond_the_limit_breaks_the_transfer(chain, tmp_path):
    node, _ = chain
    image = dcmread(files_of(make_series(tmp_path, "large", 1))[0])
    image.Rows = image.Columns = 1200
    image.PixelData = bytes(2 * 1200 * 1200)
    image.save_as(tmp_path / "large.dcm")
    store([tmp_path / "large.dcm"], node.port)  # which ends with 0 even so
    wait_for(lambda: "larger than max_object_mib" in node.log, "the line in the log")
    assert node.health()["receiving"] == 0
    answers(node)


FUZZ = {
    "two gibibytes announced": struct.pack(">BBL", 1, 0, 2**31),
    "all ones": b"\xff" * 2000,
    "unknown PDU": struct.pack(">BBL", 9, 0, 4) + b"abcd",
    "cut association request": struct.pack(">BBL", 1, 0, 200) + b"\x00\x01" + b" " * 50,
    "data before an association": struct.pack(">BBL", 4, 0, 10) + struct.pack(">LBB", 6, 1, 3) + b"abcd",
    "items that overrun": struct.pack(">BBL", 1, 0, 72)
    + b"\x00\x01\x00\x00"
    + b"A" * 64
    + b"\x10\x00\xff\xff",
    "abort": struct.pack(">BBL", 7, 0, 4) + b"\0" * 4,
    "web request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "nothing": b"",
}


def test_fuzzed_connections_leave_the_node_working(chain):
    node, _ = chain
    for content in FUZZ.values():
        with socket.create_connection((HOST, node.port), timeout=5) as peer:
            peer.sendall(content)
            peer.shutdown(socket.SHUT_WR)
            peer.settimeout(5)
            while True:
                try:
                    if not peer.recv(4096):
                        break
                except ConnectionError:
                    break
    answers(node)
    assert not BAD_LINES.search(node.log)
    assert "a PDU of 2147483648 bytes" in node.log


def test_garbage_within_an_association_ends_it_alone(chain):
    node, _ = chain
    for content in (struct.pack(">BBL", 4, 0, 2**31), struct.pack(">BBL", 4, 0, 8) + b"\0\0\0\xff\1\3zz"):
        association = associate(node)
        association.dul.socket.socket.sendall(content)
        wait_for(lambda a=association: not a.is_established, "the end of the association", 60)
    answers(node)


def test_connections_beyond_the_limit_are_closed_at_once(chain):
    node, _ = chain
    peers = []
    try:
        peers.extend(socket.create_connection((HOST, node.port), timeout=5) for _ in range(60))
        wait_for(lambda: "beyond max_associations" in node.log, "a refusal")
    finally:
        for peer in peers:
            peer.close()
    wait_for(lambda: not lingering(node), "room for a sender", 60)
    answers(node)


def test_a_series_whose_sender_broke_off_waits_until_it_is_sent_again(chain, tmp_path):
    node, archive = chain
    source = make_series(tmp_path, "broken off", 2)
    first, second = files_of(source)
    association = associate(node)
    assert association.send_c_store(dcmread(first)).Status == 0
    association.abort()
    wait_for(lambda: "the sender broke off" in node.log, "the line in the log")
    time.sleep(1.5)
    assert derived(archive, source) is None
    assert node.health()["receiving"] == 1
    # the first image a second time, as senders do
    assert store([first, second], node.port) == 0
    arrived(archive, source, 2)
    wait_for(lambda: node.idle, "the end")


def test_rules_and_own_results_leave_series_alone(chain, tmp_path):
    node, archive = chain
    left = make_series(tmp_path / "left", "left alone", 1, SeriesDescription="please LEAVE this")
    own = make_series(
        tmp_path / "own", "own", 1, DerivationDescription="Noise reduced by meddenoise 0.1.0, x."
    )
    assert store([*files_of(left), *files_of(own)], node.port) == 0
    wait_for(lambda: node.log.count("skipped by the rules") == 2, "two lines in the log")
    wait_for(lambda: node.idle, "the end")
    assert derived(archive, left) is None
    assert derived(archive, own) is None


def test_log_and_names_of_files_tell_no_patient(chain):
    node, _ = chain
    assert "delivered to pacs" in node.log
    names = node.log + " ".join(str(path) for path in node.folder.rglob("*"))
    for secret in ("Secret", "SECRET-ID", "CompressedSamples", "LEAVE", "1.2.826.0.1.3680043.8.498"):
        assert secret not in names


def test_series_outlive_an_archive_that_is_down_and_a_node_that_is_killed(tmp_path):
    archive = Archive(tmp_path / "pacs")
    sends = by_cstore(archive) + (by_web(archive) if PLUGIN.exists() else "")
    node = Node(tmp_path / "node", sends, quiet_s=0.5)
    sent, received = (make_series(tmp_path / name, name, 2) for name in ("kept for sending", "just received"))
    try:
        node.start()
        assert store(files_of(sent), node.port) == 0
        wait_for(lambda: node.health()["sending"]["pacs"] == 1 and node.health()["trouble"], "a full outbox")
        assert node.health()["status"] == "waiting for a destination"
        assert store(files_of(received), node.port) == 0
        assert node.stop(signal.SIGKILL) == -signal.SIGKILL
        archive.start()
        node.start()
        arrived(archive, sent, 2)
        arrived(archive, received, 2)
        wait_for(lambda: node.idle, "the end")
        if PLUGIN.exists():
            assert node.log.count("delivered to web") == 2
        assert not [path for path in node.spool.rglob("*") if path.is_file() and path.name != ".lock"]
        assert node.stop(signal.SIGTERM) == 0
        assert not BAD_LINES.search(node.log)
    finally:
        machines.kill_all(node, archive)
