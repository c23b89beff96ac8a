"""Time that methods will take, before they run: their cost times what a quick one takes here."""

from dataclasses import replace

from meddenoise.errors import MeddenoiseError
from meddenoise.methods import rows
from meddenoise.pipeline.denoise import prepare_denoising
from meddenoise.pipeline.options import Options
from meddenoise.series import Series

SLOW_S = 30.0
"""A method that is expected to take longer is announced."""
WARM = 64
"""Side of what a method is run on before its time is taken."""
_QUICK = {True: "direct", False: "nlm"}
"""Methods that are timed, for learned ones, which may run on a GPU, and for the others."""


class Forecast:
    """Expected times of methods on all planes of `noisy`; no method but a quick one runs for them."""

    def __init__(self, noisy: Series, options: Options) -> None:
        self._noisy, self._options = noisy, options
        self._seconds: dict[str, float | None] = {}

    def warning(self, method: str) -> str:
        """A sentence about a method that is slow, or may be; empty for others."""
        row, planes = rows().get(method), len(self._noisy) // self._noisy.channels
        if row is None or row.cost is None:
            return f"nobody has measured how slow {method} is: it may take long."
        seconds = self.seconds(method)
        if seconds is None or seconds <= SLOW_S:
            return ""
        return f"{method} is slow, about {seconds:.0f} s for {planes} planes: leave it out with --methods."

    def seconds(self, method: str) -> float | None:
        """Expected time; None where the quick method does not run, or nobody measured the cost."""
        quick = _QUICK[rows()[method].learned]
        cost, unit = rows()[method].cost, rows()[quick].cost
        if quick not in self._seconds:
            self._seconds[quick] = self._time(quick)
        taken = self._seconds[quick]
        return None if cost is None or unit is None or taken is None else cost / unit * taken

    def _time(self, method: str) -> float | None:
        """Rough time for all planes, by how much longer a larger part of one takes than a smaller one."""
        options, noisy = replace(self._options, method=method), self._noisy
        small, large = (_part(noisy, side) for side in (WARM, 2 * WARM))
        if large.pixels.size == small.pixels.size:
            return 0.0
        try:
            # what is loaded and set up at first is no part of the time a plane takes
            times = [prepare_denoising(part, options).run().seconds for part in (small, small, large)]
        except MeddenoiseError:
            return None
        return (times[2] - times[1]) / (large.pixels.size - small.pixels.size) * noisy.pixels.size


def _part(series: Series, side: int) -> Series:
    """The corner of one frame."""
    kept, corner = slice(series.channels), slice(side)
    return replace(
        series,
        pixels=series.pixels[kept, corner, corner],
        slope=series.slope[kept],
        intercept=series.intercept[kept],
    )
