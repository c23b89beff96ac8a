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
        help="The noise by a file of `meddenoise noise`, in place of an estimate.",
    ),
]
NoiseMap = Annotated[
    Path | None,
    typer.Option(
        "--noise-map",
        metavar="FILE",
        help="The noise's standard deviation in every pixel, in the image's unit: an image of the same size "
        "and place, or one plane for all. Pixels where it is 0 stay as they are.",
    ),
]
Modality = Annotated[
    str | None,
    typer.Option(
        "--modality",
        metavar="CODE",
        help="What a file that does not say it (NIfTI, NRRD, PNG, ...) shows: "
        "CT, MR, DX, CR, MG, XA, RF, PT, NM, US or OT. "
        "Default: a guess from header and values.",
        autocompletion=complete.modality,
    ),
]
Strength = Annotated[
    float,
    typer.Option(
        metavar="FLOAT",
        help="0 gives the input back, 1 the full result; 1 to 2 assumes that much more noise than estimated.",
    ),
]
