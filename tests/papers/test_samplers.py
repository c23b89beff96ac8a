"""The sampler benchmark: its mean has no bias from few runs, and exact networks pass in few evaluations."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor

SPREAD = 0.2


def test_the_error_of_the_mean_is_that_of_infinitely_many_runs() -> None:
    from papers.vpsde.samplers import mean_square_error

    generator = torch.Generator().manual_seed(0)
    truth = torch.zeros(50, 1, 32, 32)
    runs = 0.3 + torch.randn((3, *truth.shape), generator=generator)
    assert float(mean_square_error(runs, truth).mean()) == pytest.approx(0.09, abs=0.01)
    assert float(mean_square_error(runs.mean(0)[None], truth).mean()) == pytest.approx(0.09 + 1 / 3, abs=0.01)


def test_where_the_network_is_exact_few_steps_keep_the_mean() -> None:
    from meddenoise.diffusion.schedules import get_schedule
    from papers.vpsde.sampler_problems import SamplerProblem
    from papers.vpsde.samplers import FULL, measure
    from papers.vpsde.samplers_document import compose, passing

    generator = torch.Generator().manual_seed(0)
    mean = torch.rand((2, 1, 32, 32), generator=generator) - 0.5
    truth = mean + SPREAD * torch.randn(mean.shape, generator=generator)
    condition = mean.double()

    def exact(x: Tensor, ratio: float) -> Tensor:
        told = condition.repeat(len(x) // len(condition), 1, 1, 1)
        return told + SPREAD**2 / (SPREAD**2 + ratio**2) * (x - told)

    schedule = get_schedule("cosine-1000")
    problem = SamplerProblem(truth, exact, mean, schedule.trailing(len(schedule)), 0.01)
    rows = measure(problem, [1, 5, 15], 2, full=100)
    best = (10 * torch.log10(4 / (truth - mean).square().mean(dim=(1, 2, 3)))).tolist()
    assert {name: row["nfe"] for name, row in rows.items()} == {
        FULL: 100, "ddim 1": 1,
        "ancestral 5": 5, "ddim 5": 5, "dpmpp-2m 5": 5, "heun 5": 5,
        "ancestral 15": 15, "ddim 15": 15, "dpmpp-2m 15": 15, "heun 15": 15,
    }  # fmt: skip
    # Symmetric pairs of an exact Gaussian network end at its mean with any sampler at any number of steps.
    assert all(row["psnr"] == pytest.approx(best, abs=1e-3) for row in rows.values())
    assert len(passing(rows)) == 9 and passing(rows)[0] == "ddim 1"
    # Half as much error again is 1.76 dB: such a sampler does not pass.
    rows["ddim 5"]["psnr"] = [value - 1.76 for value in rows["ddim 5"]["psnr"]]
    assert "ddim 5" not in passing(rows) and len(passing(rows)) == 8
    weights = {"name": "exact", "sha256": "0" * 64}
    document = {"toy": {"weights": weights, "images": [2, 1, 32, 32], "runs": 2, "rows": rows}}
    text = compose(json.loads(json.dumps(document)))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(rows) and len({line.count("|") for line in table}) == 1
    assert "Samplers within 0.05 dB of the full sampler's mean at 15 evaluations or fewer: ddim 1," in text


def test_runs_from_a_given_state_draw_only_with_the_ancestral_sampler() -> None:
    from papers.vpsde.sampler_problems import SamplerProblem
    from papers.vpsde.samplers import measure

    truth = torch.zeros(4, 1, 16, 16)
    noisy = truth + torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))

    def exact(x: Tensor, ratio: float) -> Tensor:
        return x / (1 + ratio**2)

    every = (*(0.99**k for k in range(300)), 0.0)
    problem = SamplerProblem(truth, exact, noisy, every, 0.05, given=True, finish=lambda end: 0.5 * end)
    rows = measure(problem, [1, 15], 16, full=100)
    posterior = 10 * np.log10(4 / (0.25 * noisy.square().mean(dim=(1, 2, 3)).numpy() / 4))
    assert rows["ddim 1"]["psnr"] == pytest.approx(posterior.tolist(), abs=1e-3)
    assert rows["full"]["psnr"] == pytest.approx(posterior.tolist(), abs=0.6)
    assert rows["ancestral 15"]["psnr"] == pytest.approx(posterior.tolist(), abs=0.6)
    # A path without noise keeps the noise's share of the spread: x / sqrt(2) here, not x / 2.
    assert rows["heun 15"]["psnr"] == pytest.approx((posterior - 3.01).tolist(), abs=0.2)
    assert rows["ancestral 15"]["one"] < rows["ancestral 15"]["psnr"]
    assert rows["heun 15"]["one"] == pytest.approx(rows["heun 15"]["psnr"])
    assert not rows["full"]["pair"]
