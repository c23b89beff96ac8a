"""Lines of series come in the order of the series, those of a run that ends early too."""

from pathlib import Path

import numpy as np

from meddenoise.batch import Request, run
from meddenoise.batch.turns import Turns
from meddenoise.batch.workers import Orders
from meddenoise.pipeline.options import Options
from tests.batch.test_batch import Ears
from tests.io_samples import RNG, png


def test_messages_wait_for_those_before_and_none_is_lost() -> None:
    turns, told = Turns(), []
    for number in (2, 1):
        turns.take(number, lambda number=number: told.append(number))  # type: ignore[misc]
    assert told == []
    turns.take(0, None)
    assert told == [1, 2]
    turns.take(5, lambda: told.append(5))
    turns.take(4, lambda: told.append(4))
    turns.flush()
    assert told == [1, 2, 4, 5]


def test_a_series_that_fails_holds_none_back_and_a_slow_first_one_is_listed_first(tmp_path: Path) -> None:
    """The first is eight times as large as the last."""
    for name, side in (("1.png", 512), ("2.png", 64), ("3.png", 64)):
        png(tmp_path / name, RNG(0).integers(90, 160, (side, side), np.uint8))
    cut = (tmp_path / "2.png").read_bytes()[:1000]
    (tmp_path / "2.png").write_bytes(cut)
    ears = Ears()
    orders = Orders(options=Options(method="median", device="cpu"), jobs=3)
    run(Request(inputs=(tmp_path,), output=tmp_path / "out", orders=orders), ears)
    assert [Path(row.input).name for row in ears.listing] == ["1.png", "3.png"]
    assert sorted(Path(row.input).name for row in ears.rows) == ["1.png", "3.png"] and len(ears.failures) == 1
