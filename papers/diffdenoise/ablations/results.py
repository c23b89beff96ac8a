"""A7 and A10: the last step with right and wrong noise levels, and what the student keeps of it."""

from dataclasses import replace

import numpy as np
from torch import Tensor

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.estimate import estimate_plane
from meddenoise.training.recipe import TargetOptions
from papers.diffdenoise.ablations import Finding, judge
from papers.diffdenoise.ablations.lab import Lab
from papers.diffdenoise.ablations.measure import SCORES, score
from papers.diffdenoise.ablations.runs import Test
from papers.diffdenoise.ablations.sampling import CLEARLY, apply_student

PAIRS = 4


def fusion(lab: Lab) -> Finding:
    """A7: fusion on and off, told the true, the estimated and a wrong level."""
    test = lab.test
    sigma = test.source.noise.sigma
    estimated = estimate_plane(_mosaic(test))
    tellings = {
        "true": NoiseEstimate(sigma),
        f"estimated ({estimated.sigma / sigma:.2f} of it)": estimated,
        "30 % too low": NoiseEstimate(0.7 * sigma),
        "30 % too high": NoiseEstimate(1.3 * sigma),
    }
    off = _sample(lab, test)
    rows: list[list[str]] = []
    found: dict[str, float] = {}
    for name, noise in tellings.items():
        told = test.told(noise)
        last = score(told.fused(off), test.clean, test.source.noisy)
        mean = _sample(lab, told)
        without, everywhere = (score(x, test.clean, test.source.noisy) for x in (mean, told.fused(mean)))
        key = name.split()[0] if not name.startswith("30") else name
        found |= {f"{key}, last": last.psnr, f"{key}, all": everywhere.psnr, f"{key}, off": without.psnr}
        cells = [f"{without.psnr:.2f}", f"{last.psnr:.2f}", f"{last.leak:+.3f}"]
        rows.append([name, *cells, *everywhere.cells()])
    gain = found["true, last"] - found["true, off"]
    lost = found["true, all"] - found["estimated, all"]
    low, high = (found[f"30 % too {side}, all"] - found["true, off"] for side in ("low", "high"))
    return Finding(
        title=f"Fusion with the noisy image (SRDS, masked, {PAIRS} pairs)",
        claim="Fusion adds what a blind estimate cannot know, and tolerates an error of 30 % in the level.",
        columns=[
            *("level given", "no fusion, dB", "fusion given it, dB", "leak"),
            *[f"all given it, {name}" for name in SCORES],
        ],
        rows=rows,
        numbers=found | {"estimated / true": estimated.sigma / sigma},
        verdict=judge(gain > CLEARLY, lost < CLEARLY, min(low, high) > -CLEARLY),
        seen=(
            f"fusion adds {gain:+.2f} dB; with our estimate of the level {-lost:+.2f} dB against the true "
            f"one; with 30 % too little it is {low:+.2f} dB, too much {high:+.2f} dB against no fusion at "
            "the true level."
        ),
        done=(
            "fusion is on by default, --no-fusion turns it off."
            if low > -CLEARLY
            else "fusion is on by default with the level that is estimated from the image, here "
            f"{estimated.sigma / sigma:.2f} of the true one; a level known to be too low is worse than none: "
            "--no-fusion is for that."
        ),
    )


def distillation(lab: Lab) -> Finding:
    """A10: students, their teachers, the same network trained on clean images."""
    test = lab.test
    blind = lab.blind_condition()(test.batch())
    teacher = lab.diffusion("masked").mean(test, blind, TargetOptions().steps)
    fused, pure = TargetOptions(), TargetOptions(fusion=False, pair_share=1.0)
    pairs_only = replace(fused, pair_share=1.0)
    fused_targets, clean = lab.targets(fused), list(lab.training.clean)
    results = {
        "B(y)": blind,
        "teacher: SRDS": teacher,
        "teacher: SRDS + fusion": test.fused(teacher),
        "student of SRDS (published)": _student(lab, "student-published", lab.targets(pure), pure),
        "student of SRDS + fusion": _student(lab, "student-pairs", fused_targets, pairs_only),
        "the same, fresh noise on 3 of 4 patches (product)": _student(
            lab, "student-fused", fused_targets, fused
        ),
        "supervised: the same, on clean images": _student(lab, "supervised", clean, fused),
    }
    found = {name: score(x, test.clean, test.source.noisy) for name, x in results.items()}
    values = {name: value.psnr for name, value in found.items()}
    _, _, best_teacher, published, pairs, product, supervised = values.values()
    over_blind, behind, kept = product - values["B(y)"], supervised - product, product - best_teacher
    fresh = product - pairs
    return Finding(
        title="What distillation adds (targets of 2 steps, one pair)",
        claim="The student beats B(y) by 0.5 dB or more, is no worse than its teacher, and within 0.7 dB of "
        "supervised training.",
        columns=["result", *SCORES],
        rows=[[name, *value.cells()] for name, value in found.items()],
        numbers=values,
        verdict=judge(over_blind >= 0.5, kept >= -CLEARLY, behind <= 0.7),
        seen=(
            f"the product's student is {over_blind:+.2f} dB over B(y), {kept:+.2f} dB against its teacher, "
            f"{product - published:+.2f} dB against the published form of the student, and {behind:.2f} dB "
            f"behind supervised training; fresh noise on the targets adds {fresh:+.2f} dB."
        ),
        done=(
            "the student learns from fused targets, three quarters of the patches with fresh noise."
            if product >= published
            else "the student learns from fused targets; at this size the published form scores higher, and "
            "recipes can choose it."
        ),
    )


def _sample(lab: Lab, test: Test) -> Tensor:
    blind = lab.blind_condition()(test.batch())
    return lab.diffusion("masked").mean(test, blind, pairs=PAIRS)


def _student(
    lab: Lab, name: str, targets: list[np.ndarray | None] | list[np.ndarray], options: TargetOptions
) -> Tensor:
    return apply_student(lab.student(name, targets, options), lab.test)


def _mosaic(test: Test) -> np.ndarray:
    """The noisy test images side by side in one plane, large enough to estimate noise in."""
    planes = test.source.noisy
    down = max(n for n in range(1, int(len(planes) ** 0.5) + 1) if len(planes) % n == 0)
    rows = [np.concatenate(list(planes[k::down]), axis=1) for k in range(down)]
    return np.ascontiguousarray(np.concatenate(rows, axis=0))
