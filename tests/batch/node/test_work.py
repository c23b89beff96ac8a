"""Denoising what waits in the spool."""

import struct
import threading

import pytest
from pydicom import Dataset

from meddenoise.batch.node.log import log
from meddenoise.batch.node.settings import Settings
from meddenoise.batch.node.spool import Spool
from meddenoise.batch.node.work import work_on
from tests.io_samples import ct_slice, save

NAME = b"Secret^Person "


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path / "spool", ["pacs"])
    made.enter()
    yield made
    made.leave()


def receive(spool: Spool, image: Dataset, damage: tuple[bytes, bytes]):
    """A job of one image, in whose file bytes are replaced."""
    content = save(image, spool.root / "image.dcm").read_bytes()
    assert content.count(damage[0]) == 1
    with spool.incoming(content.replace(*damage)) as path:
        spool.keep(path, ("1.2", "1.2.3"), "1.2.3.4", "0")
    spool.close("0", released=True)
    ((job, _),) = spool.settle(0, 0)
    return job


def test_the_reason_of_a_failure_is_in_the_spool_and_no_value_of_the_header_in_the_log(spool, caplog):
    element = struct.pack("<HH2sH", 0x0028, 0x0008, b"IS", 2) + b"2 "
    damaged = struct.pack("<HH2sH", 0x0028, 0x0008, b"IS", len(NAME)) + NAME
    job = receive(spool, ct_slice(NumberOfFrames=2), (element, damaged))
    log.addHandler(caplog.handler)  # the log of a node goes nowhere else
    try:
        work_on(job, spool, Settings(), threading.Event())
    finally:
        log.removeHandler(caplog.handler)
    (failed,) = (spool.root / "failed").iterdir()
    assert "Secret^Person" in (failed / "why.txt").read_text()
    (line,) = {record.getMessage() for record in caplog.records if record.name == log.name}
    assert "moved to failed" in line
    assert "do not decode" in line
    assert "Secret" not in line
