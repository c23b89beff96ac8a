"""The index of finished results: what a killed process cut off costs its own line only."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.batch.finished import Finished
from meddenoise.errors import OutputError
from meddenoise.report import Row, row_as_json
from tests.report.test_report import ROW


def row(place: int, content: int) -> Row:
    return replace(ROW, fingerprint=f"{place:032x}-{content:032x}", noise={"unit": "HU"}, metrics={})


@given(places=st.lists(st.integers(0, 3), min_size=1), cuts=st.data())
@settings(deadline=None, max_examples=50)
def test_the_last_result_of_every_place_is_found_whatever_was_cut_off(
    places: list[int], cuts: st.DataObject
) -> None:
    with TemporaryDirectory() as name:
        index, last = Finished(Path(name)), {}
        for content, place in enumerate(places):
            index.add(row(place, content))
            last[place] = content
            line = f"\n{json.dumps(row_as_json(row(place, 999)))}"
            with index.path.open("a") as stream:
                stream.write(line[: cuts.draw(st.integers(0, len(line) - 1))])
        again = Finished(Path(name))
        for place, content in last.items():
            assert again.find(row(place, content).fingerprint) == row(place, content)
            assert again.find(row(place, 999).fingerprint) is None


def test_threads_and_processes_may_add_at_the_same_time(tmp_path: Path) -> None:
    indexes = [Finished(tmp_path) for _ in range(4)]

    def add(number: int) -> None:
        for content in range(25):
            indexes[number].add(row(100 * number + content, content))

    threads = [Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Finished(tmp_path)
    assert all(again.find(row(100 * n + c, c).fingerprint) for n in range(4) for c in range(25))


def test_a_place_that_takes_no_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.meddenoise-index cannot be written"):
        Finished(tmp_path / "missing").add(row(0, 0))
