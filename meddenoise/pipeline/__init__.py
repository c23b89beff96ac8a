"""One series denoised, upscaled or inpainted, by the task of its options."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meddenoise.engine.device import Device
    from meddenoise.pipeline.options import Options
    from meddenoise.pipeline.result import Result
    from meddenoise.series import Series


def process_series(
    series: "Series", options: "Options", mask: Path | None, tick: Callable[[int], None]
) -> "Result":
    """The result of `options.task`; `mask` is the file that says what is to be filled in.

    Raises as `denoise_series`, `restore_series` and `read_hole`.
    """
    from meddenoise.io.masks import read_hole
    from meddenoise.pipeline.denoise import denoise_series
    from meddenoise.pipeline.restore import restore_series

    if options.task == "denoise":
        return denoise_series(series, options, tick)
    return restore_series(series, options, None if mask is None else read_hole(mask, series), tick)


def device_for(series: "Series", options: "Options") -> "Device":
    """Where the series will be processed. Raises as `choose_for`."""
    from meddenoise.engine.device import choose_device
    from meddenoise.pipeline.denoise import choose_for

    if options.task == "denoise":
        return choose_for(series, options)[1]
    return choose_device(options.device, options.precision)
