"""The findings as one markdown document."""

from dataclasses import asdict
from datetime import UTC, datetime

from benchmarks.markdown import page, table
from meddenoise.version import __version__
from papers.diffdenoise.ablations import ABLATIONS, Finding
from papers.diffdenoise.ablations.scales import AblationScale

INTRODUCTION = """\
Every network here is trained by the tasks of `meddenoise train` (blind-spot network, conditional diffusion,
targets, student) and given the exact noise level and spectrum; the last weights are used, not the best of a
validation, but in A12, a whole run of the product. Clean images serve for evaluation alone, and for the
supervised control of A10.

The product diffuses the residual u = (y - c) / sigma of a noisy image y given its condition c, in units of
the noise; given c that is an affine change of variable, so the theory of symmetric pairs is unchanged.
"Plain" conditioning is the published form on that variable: c = B(y), the loss on every pixel. "Masked"
conditioning computes c from images with random pixels hidden, and takes the loss there.

PSNR is over 2 on images of -1..1, 255 units of an image. The *leak* is mean((result - clean) noise) / sigma²:
0 for a blind estimate, 1 for the noisy image itself. s is the standard deviation of y given c, K the number
of steps of a run. Verdicts are computed from the numbers.
"""


def compose(scale: AblationScale, findings: dict[str, Finding]) -> str:
    """The page of what was found at one scale."""
    missing = [name for name in ABLATIONS if name not in findings]
    parts = [
        "# DiffDenoise: which claims hold here",
        f"`{command(scale)}`, {datetime.now(UTC):%Y-%m-%d}, meddenoise {__version__}.",
        INTRODUCTION,
        f"Not run: {', '.join(missing)}." if missing else "",
        _overview(findings),
        *(_section(name, finding) for name, finding in findings.items()),
        _settings(scale),
    ]
    return page(parts)


def command(scale: AblationScale) -> str:
    """The command that writes the document again."""
    data = " --data DATA" if scale.name == "full" else ""
    return f"python papers/diffdenoise/diffdenoise.py --scale {scale.name}{data}"


def _overview(findings: dict[str, Finding]) -> str:
    rows = [[f"[{name}](#{name.lower()})", found.claim, found.verdict] for name, found in findings.items()]
    return "## Overview\n\n" + table(["", "claim", "here"], rows)


def _section(name: str, found: Finding) -> str:
    return "\n\n".join(
        [
            f'<a id="{name.lower()}"></a>\n\n## {name}. {found.title}',
            table(found.columns, found.rows),
            f"Claim: {found.claim} **Here it {found.verdict}**: {found.seen} What was done: {found.done}",
        ]
    )


def _settings(scale: AblationScale) -> str:
    values = asdict(scale)
    about = values.pop("about")
    rows = [[name, f"`{value}`"] for name, value in values.items()]
    return f"## Settings\n\nScale `{scale.name}`: {about}.\n\n" + table(["setting", "value"], rows)
