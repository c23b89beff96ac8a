"""The benchmarks of whole runs: what overlaps, back ends next to each other, start-up."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import many
from benchmarks.overlap import STATIONS, measure_overlap, write_series
from meddenoise.engine import Engine
from meddenoise.io import discover
from meddenoise.networks.compiled import openvino_version
from meddenoise.pipeline.options import Options


def test_shares_of_the_time_add_up_and_what_was_timed_is_as_it_was() -> None:
    run = Engine.run
    shares = measure_overlap(3, 2, 64, Options(method="gaussian", device="cpu"))
    assert Engine.run is run
    idle = [value for name, value in shares.items() if name.endswith("network idle")]
    assert 0 < shares["network"] < 1 and len(idle) == len(STATIONS)
    assert shares["network"] + max(idle) <= 1 <= shares["network"] + sum(idle) + 1e-6


def test_the_series_of_the_overlap_are_series(tmp_path: Path) -> None:
    write_series(tmp_path, 3, 2, 64)
    assert [len(item.files) for item in discover([tmp_path]).items] == [2, 2, 2]


@pytest.mark.skipif(openvino_version() is None, reason="needs the extra openvino")
def test_openvino_stands_next_to_torch() -> None:
    from benchmarks.backends import measure

    by_torch, by_openvino = measure("direct-fast", 64, 3)
    assert by_torch["times as fast"] == 1 and by_openvino["times as fast"] > 0
    assert by_torch["largest difference"] == 0 <= by_openvino["largest difference"] < 1e-4


def test_memory_and_open_files_over_many_files_are_drawn_with_their_slopes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plot, numbers = tmp_path / "many.svg", tmp_path / "many.json"
    options = ["--files", "90", "--bad", "0.05", "--method", "gaussian", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["many.py", *options, "--plot", str(plot), "--json", str(numbers)])
    assert many.main() == 0
    document = json.loads(numbers.read_text())
    assert (document["written"], document["bad_named"]) == (86, 4)
    drawn = ElementTree.parse(plot).getroot()
    texts = [node.text or "" for node in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert f"resident memory, {document['mb_per_1000_files']:+.2g} MB per 1,000 files" in texts
    assert f"open files, {document['open_files_per_1000_files']:+.2g} per 1,000 files" in texts
    lines = list(drawn.iter("{http://www.w3.org/2000/svg}polyline"))
    assert [len(line.attrib["points"].split()) for line in lines] == [len(document["samples"])] * 2
