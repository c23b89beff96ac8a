"""The report of a place while it grows."""

import tracemalloc
from dataclasses import replace
from time import process_time

from meddenoise.batch.ledger import Ledger
from meddenoise.report import Failure
from tests.report.test_report import EMPTY, ROW


def test_a_new_row_takes_the_place_of_one_for_the_same_files_and_forgets_its_failure() -> None:
    ledger = Ledger(replace(EMPTY, failed=(Failure(ROW.input, "broken"),)))
    ledger.add(ROW)
    assert ledger.report == replace(EMPTY, series=(ROW,)) and ledger.holds(ROW)
    again, other = (
        replace(ROW, seed=9, fingerprint="place-other"),
        replace(ROW, fingerprint="elsewhere-content"),
    )
    ledger.add(replace(ROW, fingerprint="place-content"))
    ledger.add(again)
    assert ledger.holds(again) and not ledger.holds(replace(again, fingerprint="place-content"))
    ledger.add(other)
    assert again in ledger.report.series and ledger.report.series[-1] == other


def test_the_last_failure_of_an_input_counts() -> None:
    ledger = Ledger(EMPTY)
    ledger.fail(Failure("x", "1"))
    ledger.fail(Failure("x", "2"))
    assert ledger.report.failed == (Failure("x", "2"),)


def test_an_earlier_report_comes_first_and_this_run_names_itself() -> None:
    ledger = Ledger(replace(EMPTY, command="now", started="today"))
    ledger.fail(Failure("new", "broken"))
    earlier = replace(EMPTY, command="then", device="cuda:0", series=(ROW,), failed=(Failure("old", "bad"),))
    ledger.go_on(earlier)
    ledger.made_on(None, "bf16")
    report = ledger.report
    assert (report.command, report.started, report.device, report.precision) == (
        "now",
        "today",
        "cuda:0",
        "bf16",
    )
    assert report.series == (ROW,) and [failure.input for failure in report.failed] == ["old", "new"]


def test_ten_thousand_rows_take_no_longer_each_than_the_first() -> None:
    rows = [replace(ROW, input=f"{n}.dcm", fingerprint=f"{n}-x") for n in range(10_000)]
    ledger, seconds = Ledger(EMPTY), []
    for start in range(0, len(rows), 1000):
        began = process_time()
        for row in rows[start : start + 1000]:
            assert not ledger.holds(row)
            ledger.add(row)
        seconds.append(process_time() - began)
    assert seconds[-1] < 4 * seconds[0], "a report that is copied for every row takes a minute"
    assert ledger.report.series == tuple(rows)  # by the value of the numbers in their names


def test_rows_are_in_the_order_of_their_inputs_however_they_were_finished() -> None:
    ledger = Ledger(EMPTY)
    for number in (10, 2, 1):
        ledger.add(replace(ROW, input=f"s{number}.dcm", fingerprint=f"{number}-x"))
    assert [row.input for row in ledger.report.series] == ["s1.dcm", "s2.dcm", "s10.dcm"]


def test_a_thousand_rows_take_less_than_a_megabyte() -> None:
    tracemalloc.start()
    ledger, noise = Ledger(EMPTY), {"unit": "HU", "sigma_after": 1.0, "by_plane": [[1.0, 2.0]] * 4}
    for n in range(1000):
        level = {"sigma_before": n / 7}
        ledger.add(replace(ROW, input=f"{n}.dcm", fingerprint=f"{n:016x}-x", noise=noise | level))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 1e6, "rows that are kept as they are take several times that"
    assert ledger.report.series[999].noise["sigma_before"] == 999 / 7
    assert [row.input for row in ledger.report.series[2:4]] == ["2.dcm", "3.dcm"]
