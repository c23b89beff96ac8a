"""Protocol of a measurement."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meddenoise.metrics.regions import Box, Circle
from meddenoise.noise import Noise


@dataclass(frozen=True, slots=True, eq=False)
class Protocol:
    """Protocol of a measurement; printed with every number.

    `data_range` is the R of PSNR and SSIM in `unit`, `range_source` how it was chosen; result and reference
    are both clipped to `window` (low, high) before they are compared, None where they are not. `mask`
    [N, Y, X] is True where a pixel counts, None where all do. `scope` "volume" pools all planes, "plane" is
    the mean over planes of the plane's own value. `noise` is that of the noisy image in `unit`, plane by
    plane, None where it is not known. `spacing_mm` is (row, column), None where it is not known: frequencies
    are then in cycles a pixel. `crop` is the part of the image that was measured, `rois` and `edge` lie in
    that part. `networks` is the folder with the weights of LPIPS and FID, None to fetch them.
    """

    data_range: float | None = None
    range_source: str = "is not given"
    unit: str = ""
    mask: NDArray[np.bool_] | None = None
    mask_source: str = "all pixels"
    scope: Literal["volume", "plane"] = "volume"
    noise: Noise | None = None
    window: tuple[float, float] | None = None
    spacing_mm: tuple[float, float] | None = None
    crop: Box | None = None
    rois: tuple[Box, ...] = ()
    edge: Box | Circle | None = None
    networks: Path | None = None

    @property
    def sigma(self) -> float | None:
        """The noise of the noisy image in `unit`, None where it is not known."""
        return None if self.noise is None else self.noise.sigma

    def describe(self) -> str:
        """One line for people, the same for all images measured alike: how R was chosen, mask, scope."""
        unit = f", in {self.unit}" if self.unit else ""
        parts = [f"R {self.range_source}{unit}"] if self.data_range is not None else []
        if self.window is not None:
            parts.append(f"both clipped to {self.window[0]:g}..{self.window[1]:g}")
        parts.append(self.mask_source)
        parts += [f"cropped to {self.crop}"] if self.crop is not None else []
        parts.append("planes pooled" if self.scope == "volume" else "mean over planes")
        if self.data_range is not None:
            parts.append("SSIM of Wang 2004, plane by plane")
        part = "" if self.crop is None else " of the crop"
        parts += [f"ROI {box}{part}" for box in self.rois]
        parts += [f"edge {self.edge}{part}"] if self.edge is not None else []
        return "; ".join(parts)
