"""One series denoised, upscaled or inpainted: chosen once and estimated once, then run, then judged.

plan = prepare(series, options)     method, weights, device, noise by plane, window
result = plan.run(tick)             pixels, and the report of them
result = result.judged()            the verdict
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meddenoise.pipeline.options import Options
    from meddenoise.pipeline.plan import Plan
    from meddenoise.series import Series

HOMES = {
    "denoise": "meddenoise.pipeline.denoise",
    "upscale": "meddenoise.pipeline.restore",
    "inpaint": "meddenoise.pipeline.restore",
}
"""The module of each task, to be imported early: torch, which it needs, takes over a second."""


def prepare(series: "Series", options: "Options", mask: Path | None = None) -> "Plan":
    """The plan for a series by `options.task`; `mask` is the file that says what is to be filled in.

    Raises as `prepare_denoising`, `prepare_restoring` and `read_hole`.
    """
    if options.task == "denoise":
        from meddenoise.pipeline.denoise import prepare_denoising

        return prepare_denoising(series, options)
    from meddenoise.io.masks import read_hole
    from meddenoise.pipeline.restore import prepare_restoring

    return prepare_restoring(series, options, None if mask is None else read_hole(mask, series))
