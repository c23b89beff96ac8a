"""A watched folder: what comes to rest in it is denoised into another."""

import errno
import json
import shutil
import signal
import sys
import threading
import urllib.request

import numpy as np
import pytest
from pydicom import dcmread

from meddenoise.batch.node.rules import Rule
from meddenoise.batch.node.settings import Settings
from meddenoise.pipeline.options import Options
from tests.batch.node.machines import HOST, Machine, free_port, kill_all, make_series, wait_for
from tests.io_samples import png

pytest.importorskip("watchdog", reason="the extra node is not installed")
pytestmark = pytest.mark.slow


class Watching(Machine):
    """`meddenoise serve --watch`, with a quick filter for CT and another for all else."""

    def __init__(self, folder):
        super().__init__(folder)
        self.inbox, self.outbox, self.health_port = folder / "in", folder / "out", free_port()
        self.inbox.mkdir()
        (folder / "rules.toml").write_text(
            f"quiet_s = 0.5\nhealth_port = {self.health_port}\n"
            '[[rule]]\nmodality = "CT"\nmethod = "gaussian"\ndevice = "cpu"\n'
            '[[rule]]\nmethod = "nlm"\ndevice = "cpu"\n'
        )

    def start(self):
        rules = self.folder / "rules.toml"
        command = [sys.executable, "-m", "meddenoise", "serve", rules, "--watch", self.inbox]
        self.launch([*map(str, command), "-o", str(self.outbox)])
        wait_for(lambda: "watching" in self.log, "the watch")

    def report(self, name=""):
        path = self.outbox / name / "meddenoise-report.json"
        return json.loads(path.read_text()) if path.exists() else {"series": []}


def test_series_are_denoised_by_their_rules_and_again_when_they_grow(tmp_path):
    watch = Watching(tmp_path)
    make_series(watch.inbox / "Secret_Person", "early", 1)
    try:
        watch.start()
        done = watch.outbox / "Secret_Person" / "000.dcm"
        wait_for(lambda: watch.report("Secret_Person")["series"], "what was there before")
        assert "denoised (gaussian)" in dcmread(done).SeriesDescription
        # a series and a picture, directly in the folder
        make_series(watch.inbox, "loose", 2)
        png(watch.inbox / "picture.png", np.random.default_rng(0).integers(90, 110, (40, 40), np.uint8))
        wait_for(lambda: len(watch.report()["series"]) == 2, "loose files")
        assert sorted(row["method"] for row in watch.report()["series"]) == ["gaussian", "nlm"]
        assert (watch.outbox / "picture.png").exists()
        make_series(watch.inbox / "Secret_Person", "early", 2)
        wait_for(lambda: (done.parent / "001.dcm").exists(), "the grown series")
        rows = lambda: watch.report("Secret_Person")["series"]  # noqa: E731
        wait_for(lambda: any(row["shape"][0] == 2 for row in rows()), "its report")
        before = done.stat().st_mtime_ns
        assert watch.stop(signal.SIGTERM) == 0
        watch.start()
        for name, length in (("no_pixels", 900), ("cut_pixels", -400)):
            (damaged,) = make_series(watch.inbox / name, name, 1).iterdir()
            damaged.write_bytes(damaged.read_bytes()[:length])
        wait_for(lambda: watch.log.count("a file or series failed") == 2, "both failures")
        url = f"http://{HOST}:{watch.health_port}/health"
        calm = {"status": "ok", "waiting": 0}
        wait_for(lambda: json.loads(urllib.request.urlopen(url, timeout=5).read()) == calm, "the end")
        assert done.stat().st_mtime_ns == before
        assert watch.stop(signal.SIGINT) == 130
        assert "Secret" not in watch.log
        assert "Traceback" not in watch.log
    finally:
        kill_all(watch)


@pytest.fixture
def folder_watch(tmp_path):
    """A watch that is looked through by hand, for what is quiet at once."""
    from meddenoise.batch.node.watch import FolderWatch

    (tmp_path / "in").mkdir()
    settings = Settings(quiet_s=0, rules=(Rule(options=Options(method="gaussian", device="cpu")),))
    return FolderWatch(tmp_path / "in", tmp_path / "out", settings, threading.Event())


def test_what_vanishes_before_it_is_denoised_waits_no_longer(folder_watch, tmp_path):
    make_series(tmp_path / "in" / "gone", "gone", 1)
    folder_watch._look()
    assert folder_watch.count() == {"waiting": 1}
    shutil.rmtree(tmp_path / "in" / "gone")
    folder_watch._look()
    assert folder_watch.count() == {"waiting": 0}


def test_folders_that_vanish_while_they_are_looked_through_end_nothing(folder_watch, tmp_path):
    stop = threading.Event()

    def come_and_go():
        while not stop.is_set():
            (tmp_path / "in" / "busy" / "a" / "b").mkdir(parents=True, exist_ok=True)
            shutil.rmtree(tmp_path / "in" / "busy")

    coming = threading.Thread(target=come_and_go)
    coming.start()
    try:
        for _ in range(3000):
            folder_watch._look()
    finally:
        stop.set()
        coming.join()


def test_links_and_loose_files_that_are_no_images_are_left_alone(folder_watch, tmp_path, caplog):
    make_series(tmp_path / "in", "loose", 1)
    (tmp_path / "in" / "note.txt").write_text("not an image")
    elsewhere = make_series(tmp_path / "elsewhere", "elsewhere", 1)
    (tmp_path / "in" / "link").symlink_to(elsewhere)
    (tmp_path / "in" / "nowhere").symlink_to("n" * 300)
    for _ in range(2):
        folder_watch._look()
    assert folder_watch.count() == {"waiting": 0}
    assert [path.name for path in (tmp_path / "out").rglob("*.dcm")] == ["000.dcm"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_system_without_watches_left_is_no_obstacle(folder_watch, tmp_path, monkeypatch):
    def refuse(observer):
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr("meddenoise.batch.node.watch.Observer.start", refuse)
    make_series(tmp_path / "in", "loose", 1)
    watching = threading.Thread(target=folder_watch.run)
    watching.start()
    try:
        wait_for((tmp_path / "out" / "000.dcm").exists, "the result", 30)
    finally:
        folder_watch._stop.set()
        watching.join()
