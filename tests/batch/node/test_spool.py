"""The spool: nothing is lost, doubled or mixed up, whenever its process ends."""

import os
import subprocess
import sys

import pytest

from meddenoise.batch.node.spool import Spool, digest, key_of
from meddenoise.errors import OutputError

UIDS = ("1.2", "1.2.3")
KEY = digest(*UIDS)


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path / "spool", ["pacs", "web"])
    made.enter()
    yield made
    made.leave()


def receive(spool, instance, token="0", content=b"image"):
    with spool.incoming(content) as path:
        return spool.keep(path, UIDS, instance, token)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def again(spool):
    """The spool as the next process finds it."""
    spool.leave()
    other = Spool(spool.root, spool.destinations)
    other.enter()
    return other


def test_a_series_waits_until_it_is_quiet(spool):
    assert receive(spool, "1") == KEY
    assert spool.settle(30, 60) == []
    ((job, failed),) = spool.settle(0, 60)
    assert not failed
    assert spool.waiting() == [job]
    assert files(job) == [f"{digest('1')}.dcm"]
    assert key_of(job) == KEY


def test_the_same_image_twice_is_there_once_as_it_came_last(spool):
    receive(spool, "1", content=b"old")
    receive(spool, "1", content=b"new")
    ((job, _),) = spool.settle(0, 60)
    assert [path.read_bytes() for path in job.iterdir()] == [b"new"]


def test_a_broken_off_series_waits_longer_and_then_fails(spool):
    receive(spool, "1")
    assert spool.close("0", released=False) == [KEY]
    assert spool.settle(0, 60) == []
    ((job, failed),) = spool.settle(0, 0)
    assert failed
    assert job.parent.name == "failed"
    spool.give_up(job, "broken off")
    assert f"mv {job} {spool.root / 'waiting'}" in (job / "why.txt").read_text()


def test_a_later_release_makes_a_broken_off_series_whole(spool):
    receive(spool, "1", token="0")
    spool.close("0", released=False)
    receive(spool, "2", token="1")
    spool.close("1", released=True)
    ((job, failed),) = spool.settle(0, 60)
    assert not failed
    assert len(files(job)) == 2


def test_the_next_process_knows_what_was_released_and_what_was_not(spool):
    receive(spool, "1")
    other = again(spool)
    assert other.settle(0, 60) == []  # its sender broke off with the process
    receive(other, "1")
    other.close("0", released=True)
    last = again(other)
    assert [failed for _, failed in last.settle(0, 60)] == [False]
    last.leave()


def test_an_association_of_the_next_process_does_not_make_a_broken_off_series_whole(spool):
    receive(spool, "1", token="0")
    other = again(spool)
    with other.incoming(b"image") as path:
        other.keep(path, ("1.2", "1.2.4"), "2", "0")  # associations are counted anew
    ((job, failed),) = other.settle(0, 60)
    assert not failed
    assert key_of(job) != KEY
    other.leave()


def test_late_images_join_a_job_that_is_not_begun_else_make_one_of_their_own(spool):
    receive(spool, "1")
    spool.settle(0, 60)
    receive(spool, "2")
    ((job, _),) = spool.settle(0, 60)
    assert spool.waiting() == [job]
    assert len(files(job)) == 2
    assert not spool.is_late(job)
    spool.begin(job)
    receive(spool, "3")
    ((late, _),) = spool.settle(0, 60)
    assert spool.waiting() == [job, late]
    assert spool.is_late(late)


def test_results_go_to_every_destination_and_half_made_ones_are_made_again(spool):
    receive(spool, "1")
    ((job, _),) = spool.settle(0, 60)
    partial = spool.root / "outbox" / "web" / f".{job.name}"
    partial.mkdir()
    (partial / "a.dcm").write_bytes(b"cut off")
    other = again(spool)
    output = other.begin(job)
    output.mkdir()
    (output / "a.dcm").write_bytes(b"result")
    other.hand_over(job)
    for name in ("pacs", "web"):
        (there,) = other.outbox(name)
        assert (there / "a.dcm").read_bytes() == b"result"
    assert other.waiting() == []
    assert files(other.root / "results") == files(other.root / "trash") == []
    other.leave()


def test_what_one_destination_refuses_stays_on_its_way_to_the_other(spool):
    receive(spool, "1")
    ((job, _),) = spool.settle(0, 60)
    output = spool.begin(job)
    output.mkdir()
    (output / "a.dcm").write_bytes(b"result")
    spool.hand_over(job)
    for name in ("pacs", "web"):
        (there,) = spool.outbox(name)
        spool.give_up(there, "refused")
        assert spool.outbox(name) == []
    assert len(files(spool.root / "failed")) == 2
    assert spool.count()["failed"] == 2


def test_folders_of_others_are_no_jobs(spool):
    for place in ("waiting/Mueller-Anna", "outbox/pacs/lost+found"):
        (spool.root / place).mkdir()
    assert spool.waiting() == spool.outbox("pacs") == []
    assert spool.count()["waiting"] == 0


def test_one_process_at_a_time(spool):
    with pytest.raises(OutputError, match="another `meddenoise serve` uses the spool"):
        Spool(spool.root, []).enter()


def test_a_spool_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"the spool .*file.* cannot be written"):
        Spool(tmp_path / "file", []).enter()


def test_folders_are_closed_to_others(spool):
    assert spool.root.stat().st_mode & 0o077 == 0
    receive(spool, "1")
    assert (spool.root / "receiving" / KEY).stat().st_mode & 0o077 == 0


KILLED = """
import os, sys
from pathlib import Path
from meddenoise.batch.node.spool import Spool

root, story = Path(sys.argv[1]), sys.argv[2]
STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "open"}

def receive(spool, instance, token):
    with spool.incoming(b"image") as path:
        spool.keep(path, ("1.2", "1.2.3"), instance, token)

def tell(spool, step):
    receive(spool, "1", "0")
    receive(spool, "2", "0")
    spool.close("0", released=story != "broken off")
    if story == "late":
        spool.settle(0, 0)
        receive(spool, "3", "1")
        spool.close("1", released=True)
    left = [step]
    def kill(event, arguments):
        left[0] -= event in STEPS
        if left[0] < 0:
            os._exit(9)
    sys.addaudithook(kill)
    for job, failed in spool.settle(0, 0):
        if failed:
            spool.give_up(job, "broken off")

code, step = 9, 0
while code:
    child = os.fork()
    if not child:
        spool = Spool(root / f"{step}", ["pacs"])
        spool.enter()
        tell(spool, step)
        os._exit(0)
    code, step = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), step + 1
"""


def killed_at_every_step(root, story):
    """The spool of each process that was killed while it settled a series, as the next one finds it."""
    subprocess.run([sys.executable, "-c", KILLED, root, story], check=True, timeout=120)
    assert len(list(root.iterdir())) > 3
    for folder in root.iterdir():
        found = Spool(folder, ["pacs"])
        found.enter()
        yield found
        found.leave()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
def test_half_a_series_is_no_whole_one_wherever_the_process_was_killed(tmp_path):
    for spool in killed_at_every_step(tmp_path, "broken off"):
        spool.settle(0, 0)
        assert spool.waiting() == []
        (job,) = (spool.root / "failed").iterdir()
        assert len(list(job.glob("*.dcm"))) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
def test_a_job_that_late_images_join_is_never_half_of_itself(tmp_path):
    for spool in killed_at_every_step(tmp_path, "late"):
        for job in spool.waiting():
            assert len(list(job.glob("*.dcm"))) in (2, 3)
        spool.settle(0, 0)
        (job,) = spool.waiting()
        assert len(list(job.glob("*.dcm"))) == 3


def test_results_that_a_killed_process_left_do_not_stay(spool):
    receive(spool, "1")
    ((job, _),) = spool.settle(0, 60)
    folder = spool.begin(job)
    folder.mkdir()
    (folder / "result.dcm").write_bytes(b"pixels")
    spool.drop(job)  # killed before the results went too
    assert files(again(spool).root / "results") == []
