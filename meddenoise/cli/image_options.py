"""Options that state what an image is: its modality and its noise."""

from pathlib import Path
from typing import Annotated

import typer

from meddenoise.cli import complete

Sigma = Annotated[
    str, typer.Option(metavar="auto|FLOAT", help="Noise level in the image's unit; auto estimates it.")
]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--noise-profile",
        metavar="PROFILE.toml",
        help="The noise as measured by `meddenoise noise`, instead of an estimate.",
    ),
]
NoiseMap = Annotated[
    Path | None,
    typer.Option(
        "--noise-map",
        metavar="FILE",
        help="The standard deviation of the noise in every pixel, in the image's unit: an image of the "
        "same size "
        "and place, or one plane for all. Pixels with 0 stay as they are.",
    ),
]
Modality = Annotated[
    str | None,
    typer.Option(
        "--modality",
        metavar="CODE",
        help="The modality, if the file does not state it (NIfTI, NRRD, PNG, ...): "
        "CT, MR, DX, CR, MG, XA, RF, PT, NM, US or OT. "
        "Default: a guess from header and values.",
        autocompletion=complete.modality,
    ),
]
Strength = Annotated[
    float,
    typer.Option(
        metavar="FLOAT",
        help="0 returns the input, 1 the full result; 1 to 2 assumes that much more noise than estimated.",
    ),
]
