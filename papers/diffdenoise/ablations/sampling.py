"""A1 to A4 and A8: what the sampler makes of its condition, how it spreads, how many steps it takes."""

from itertools import pairwise

import torch
from torch import Tensor

from meddenoise.diffusion.antithetic import contraction
from meddenoise.training.recipe import DiffusionOptions, TargetOptions
from papers.diffdenoise.ablations import Finding, judge
from papers.diffdenoise.ablations.lab import Lab
from papers.diffdenoise.ablations.measure import SCORES, plane_psnrs, score, spread
from papers.diffdenoise.ablations.runs import DiffusionRun, Test

STEPS = 10
PLAIN = DiffusionOptions(conditioning="plain")
SAME = 0.05
"""dB within which two results are called the same."""
CLEARLY = 0.1
"""dB by which a result must lead to be called better."""


def condition(lab: Lab) -> Finding:
    """A1: does the sampler beat its condition, and is it by leak?"""
    test = lab.test
    blind = lab.blind_condition()(test.batch())
    plain = lab.diffusion("plain", PLAIN).mean(test, blind)
    masked = lab.diffusion("masked").mean(test, blind)
    options = TargetOptions()
    student = apply_student(lab.student("student-fused", lab.targets(options), options), test)
    results = {
        "noisy": test.noisy,
        "blind-spot network B(y)": blind,
        "B(y) + fusion": test.fused(blind),
        "SRDS, plain conditioning (published)": plain,
        "SRDS, masked conditioning": masked,
        "SRDS, masked + fusion": test.fused(masked),
        "student of SRDS, masked + fusion": student,
    }
    found = {name: score(result, test.clean, test.source.noisy) for name, result in results.items()}
    numbers = {name: value.psnr for name, value in found.items()}
    gain = {
        kind: found[f"SRDS, {kind}"].psnr - found["blind-spot network B(y)"].psnr
        for kind in ("plain conditioning (published)", "masked conditioning")
    }
    published, ours = gain.values()
    leak = found["SRDS, plain conditioning (published)"].leak
    verdict = judge(published > CLEARLY, ours > CLEARLY)
    fused = found["SRDS, masked + fusion"].psnr - found["B(y) + fusion"].psnr
    return Finding(
        title="The sampler against its condition",
        claim="SRDS beats the blind-spot network it is conditioned on.",
        columns=["result", *SCORES],
        rows=[[name, *value.cells()] for name, value in found.items()],
        numbers=numbers | {"leak, plain": leak},
        verdict=verdict,
        seen=(
            f"over B(y), SRDS is {published:+.2f} dB with plain conditioning (leak {leak:.2f}) and "
            f"{ours:+.2f} dB with masked; after fusion {fused:+.2f} dB over B(y) with fusion."
        ),
        done=(
            "plain conditioning lets the noise through, so masked conditioning is the default and the leak "
            "is reported for every run."
            if leak > 0.3
            else "masked conditioning stays the default: it cannot leak, and the leak is reported."
        ),
    )


def pairs(lab: Lab) -> Finding:
    """A2: single run, mean of two independent runs, symmetric pair, over many seeds."""
    test = lab.test
    blind = lab.blind_condition()(test.batch())
    means, halves = lab.diffusion("masked").pairs(test, blind, STEPS, range(lab.scale.seeds))
    single = means + halves
    kinds = {
        "single run": single,
        "mean of two independent runs": (single + single.roll(1, dims=0)) / 2,
        "symmetric pair (SRDS)": means,
    }
    limit = means.mean(dim=0)
    rows: list[list[str]] = []
    numbers: dict[str, float] = {}
    for name, results in kinds.items():
        psnrs = plane_psnrs(results, test.clean)
        gap = float((results - limit).square().mean())
        numbers |= {
            f"{name}, PSNR": float(psnrs.mean()),
            f"{name}, spread dB": float(psnrs.std(axis=0, ddof=1).mean()),
            f"{name}, pixels": float(results.std(dim=0).square().mean().sqrt()),
            f"{name}, gap": gap,
        }
        dB, sd, pixels = (numbers[f"{name}, {what}"] for what in ("PSNR", "spread dB", "pixels"))
        rows.append([name, f"{dB:.2f} ± {sd:.3f}", f"{pixels:.2f}", f"{gap:.1f}"])
    one, two, pair = kinds
    ratio = numbers[f"{one}, spread dB"] / numbers[f"{pair}, spread dB"]
    ratio_pixels = numbers[f"{one}, pixels"] / numbers[f"{pair}, pixels"]
    higher = numbers[f"{pair}, PSNR"] - numbers[f"{two}, PSNR"]
    halved = numbers[f"{two}, gap"] / numbers[f"{one}, gap"]
    verdict = judge(ratio >= 3, ratio_pixels >= 3, higher > 0)
    return Finding(
        title=f"Single runs, two independent runs, symmetric pairs ({lab.scale.seeds} seeds, K = {STEPS})",
        claim="A symmetric pair scatters less (at least 3 times less than single runs) and scores higher.",
        columns=["result", "PSNR dB, mean ± std over seeds", "std of a pixel, 255ths", "MSE from the limit"],
        rows=rows,
        numbers=numbers | {"ratio dB": ratio, "ratio pixels": ratio_pixels},
        verdict=verdict,
        seen=(
            f"a pair's PSNR scatters {ratio:.1f} and its pixels {ratio_pixels:.1f} times less than a single "
            f"run's; it is {higher:+.2f} dB against two independent runs, which leave {halved:.0%} of a "
            "single run's distance from the limit (theory: 50 %, and 0 for the pair)."
        ),
        done="the sampler always runs symmetric pairs; there is no option for single runs.",
    )


def contracted(lab: Lab) -> Finding:
    """A3: the spread of single runs at K steps against the law."""
    test = lab.test.first(lab.scale.drawn)
    blind = lab.blind_condition()(test.batch())
    diffusion = lab.diffusion("masked")
    s = float(((test.noisy - blind) / test.sigma).square().mean().sqrt())
    rows: list[list[str]] = []
    numbers, errors, spreads = {"s": s}, [], []
    for steps in (1, 2, 5, 10, 20, 50, 100):
        means, halves = diffusion.pairs(test, blind, steps, range(lab.scale.draws))
        measured = float(((means + halves) / test.sigma).std(dim=0).square().mean().sqrt()) / s
        law = contraction(diffusion.schedule.trailing(steps), s)
        single, pair = (_psnrs(x, test) for x in (means + halves, means))
        errors.append(abs(measured - law))
        spreads.append(measured)
        numbers |= {
            f"pair {steps}": sum(pair) / len(pair),
            f"measured {steps}": measured,
            f"law {steps}": law,
        }
        rows.append([str(steps), f"{measured:.3f}", f"{law:.3f}", spread(single), spread(pair)])
    rising = all(a < b for a, b in pairwise(spreads))
    apart = numbers["pair 10"] - numbers["pair 100"]
    return Finding(
        title=f"Few steps denoise, many re-create the noise ({lab.scale.draws} draws)",
        claim="A single run of K steps scatters by gamma_K s; a symmetric pair is the same at every K.",
        columns=["K", "std of a run / s", "law gamma_K", "single run, dB", "pair, dB"],
        rows=rows,
        numbers=numbers,
        verdict=judge(max(errors) < 0.15, rising, abs(apart) <= SAME),
        seen=(
            f"the measured spread {'rises' if rising else 'does not always rise'} with K, at most "
            f"{max(errors):.2f} from the law of a Gaussian of std s = {s:.2f} sigma; pairs of 10 steps are "
            f"{apart:+.3f} dB against pairs of 100."
        ),
        done=(
            "10 steps are the default of the sampler."
            if abs(apart) <= SAME
            else "10 steps are the default of the sampler; the difference to 100 is stated here."
        ),
    )


def one_step(lab: Lab) -> Finding:
    """A4: one evaluation against ten steps."""
    test = lab.test
    blind = lab.blind_condition()(test.batch())
    diffusion = lab.diffusion("masked")
    found: dict[str, list[float]] = {}
    rows = []
    for steps in (1, 2, STEPS):
        means, _ = diffusion.pairs(test, blind, steps, range(lab.scale.draws))
        found[str(steps)] = _psnrs(means, test)
        last, both = (score(x, test.clean, test.source.noisy) for x in (means[0], test.fused(means[0])))
        cells = [f"{last.ssim:.3f}", f"{last.leak:+.3f}", f"{both.psnr:.2f}"]
        rows.append([str(steps), str(2 * steps), spread(found[str(steps)]), *cells])
    averages = {steps: sum(values) / len(values) for steps, values in found.items()}
    gain = averages[str(STEPS)] - averages["1"]
    two = averages[str(STEPS)] - averages["2"]
    return Finding(
        title=f"One evaluation against {STEPS} steps",
        claim="Several steps are needed: SRDS of 10 steps beats the one-shot estimate from pure noise.",
        columns=["K", "evaluations", "pair, dB", "SSIM", "leak", "pair + fusion, dB"],
        rows=rows,
        numbers=averages,
        verdict="holds" if gain > SAME else "does not hold",
        seen=f"10 steps are {gain:+.3f} dB against one and {two:+.3f} dB against two (symmetric pairs, v).",
        done=(
            "the student's targets take 2 steps a pair; --mode diffusion keeps 10, whose spread tells the "
            "uncertainty."
            if abs(two) <= SAME
            else "the number of steps stays an option of the targets and of --mode diffusion."
        ),
    )


def partial_start(lab: Lab) -> Finding:
    """A8: starts from the noisy image under some noise."""
    test = lab.test
    blind = lab.blind_condition()(test.batch())
    residual = (test.noisy - blind) / test.sigma
    networks = {"plain": lab.diffusion("plain", PLAIN), "masked": lab.diffusion("masked")}
    rows, found = [], {}
    for step in (100, 200, 300, 500):
        cells = []
        for name, diffusion in networks.items():
            ratios = _down_from(diffusion, step)
            mean, _ = diffusion.pair(test, blind, ratios, 0, centre=residual)
            result = score(mean, test.clean, test.source.noisy)
            found[f"{name} {step}"] = result.psnr
            cells += [f"{result.psnr:.2f}", f"{result.leak:+.3f}"]
        rows.append([f"step {step}", *cells])
    cells = []
    for name, diffusion in networks.items():
        fused = score(test.fused(diffusion.mean(test, blind)), test.clean, test.source.noisy)
        found[f"{name} fusion"] = fused.psnr
        cells += [f"{fused.psnr:.2f}", f"{fused.leak:+.3f}"]
    rows.append(["pure noise, then fusion", *cells])
    best = max(value for name, value in found.items() if "fusion" not in name)
    margin = found["masked fusion"] - best
    return Finding(
        title=f"A start from the noisy image (SRDS, K = {STEPS})",
        claim="A partial-noise start from y lets noise through everywhere; fusion uses y better.",
        columns=["start", "plain, dB", "leak", "masked, dB", "leak"],
        rows=rows,
        numbers=found,
        verdict=judge(margin > 0),
        seen=f"fusion of the masked sampler is {margin:+.2f} dB against the best partial start.",
        done=(
            "the sampler starts from pure noise, and y enters by fusion."
            if margin > 0
            else "the sampler starts from pure noise all the same: the best start depends on the image."
        ),
    )


def apply_student(student: torch.nn.Module, test: Test) -> Tensor:
    """The student's result [N, 1, H, W]."""
    with torch.inference_mode():
        clean: Tensor = student(test.noisy, test.sigma, test.bands, test.noisy.new_zeros(len(test)))
    return clean


def _down_from(diffusion: DiffusionRun, step: int) -> list[float]:
    """Ratios of STEPS steps from step `step` to 0."""
    indices = [round(step * (1 - k / STEPS)) - 1 for k in range(STEPS)]
    return [*diffusion.schedule.ratio[indices].tolist(), 0.0]


def _psnrs(results: Tensor, test: Test) -> list[float]:
    """PSNR of each draw, planes pooled."""
    return [score(result, test.clean, test.source.noisy).psnr for result in results]
