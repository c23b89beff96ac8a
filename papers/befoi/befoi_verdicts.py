"""Verdicts on the wanted numbers of the fluoroscopy benchmark: met or not, and by how much."""

from collections.abc import Iterator
from statistics import fmean
from typing import Any

from benchmarks.intervals import Interval, mean_interval

Row = dict[str, Any]

MAIN = "befoi"
FULL = "ablation full"
OURS = ("befoi", "ablation", "clean", "direct")
"""Beginnings of the rows that are no peers: `direct` is our control, the network that ours began as."""
GAIN = 0.5
"""Wanted over the best peer, dB."""
REBLUR_PEER = "noise2self"


def judge(rows: list[Row]) -> Iterator[str]:
    """A line for each thing wanted of `befoi`, where it was measured."""
    for part in dict.fromkeys(row["part"] for row in rows):
        mine = [row for row in rows if row["part"] == part]
        if any(row["method"] == MAIN for row in mine):
            yield from _judge_part(part, mine)
    simulated = [row for row in rows if row["part"].startswith("gain")]
    for name in dict.fromkeys(row["method"] for row in simulated if row["method"].startswith("ablation")):
        gain = gain_over(simulated, name, "psnr", FULL)
        if gain is not None and name != FULL:
            yield f"* {name} loses {gain.text('.2f')} dB: {_met(gain.low > 0)}."


def gain_over(rows: list[Row], name: str, key: str, own: str = MAIN) -> Interval | None:
    """The mean of one number of `own` minus that of another method, frame by frame; None without any."""
    values = {(row["part"], row["picture"], row["method"]): row[key] for row in rows}
    found = []
    for row in rows:
        mine = values.get((row["part"], row["picture"], own))
        if row["method"] == name and row[key] is not None and mine is not None:
            found.append((mine - row[key], row["source"]))
    if not found:
        return None
    gains, sources = zip(*found, strict=True)
    return mean_interval(gains, sources)


def _judge_part(part: str, rows: list[Row]) -> Iterator[str]:
    peers = [name for name in dict.fromkeys(row["method"] for row in rows) if not name.startswith(OURS)]
    for key, least, unit in (("psnr", GAIN, " dB"), ("ssim", 0.0, "")):
        scored = {name: _mean(rows, name, key) for name in peers}
        best = max(scored, key=lambda name: scored[name])
        gain = gain_over(rows, best, key)
        if gain is not None:
            form = "+.2f" if unit else "+.4f"
            wanted = f"at least {least:g}{unit}" if least else "more than 0"
            met = gain.mean >= least if least else gain.mean > 0
            said = f"over the best peer, {best}: {gain.text(form)}{unit}"
            yield f"* {part}: {key.upper()} {said}; wanted {wanted}: {_met(met)}."
    blur = gain_over(rows, REBLUR_PEER, "reblur")
    if blur is not None:
        yield f"* {part}: REBLUR less that of {REBLUR_PEER}: {blur.text('+.3f')}; wanted at most 0: " + (
            f"{_met(blur.mean <= 0)}."
        )


def _mean(rows: list[Row], name: str, key: str) -> float:
    values = [row[key] for row in rows if row["method"] == name and row[key] is not None]
    return fmean(values) if values else float("-inf")


def _met(reached: bool) -> str:
    return "met" if reached else "**not met**"
