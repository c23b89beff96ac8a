"""Effect of half precision in weight files: one network in float32 and float16, in dB on exact truth.

    python benchmarks/half.py RUN/state.safetensors [--recipe direct]

The state of a training run holds the averaged weights in float32. Both networks denoise phantoms of held-back
seeds with white noise of 15 and 50 of 255.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse

import numpy as np
import torch
from safetensors import safe_open

from benchmarks.script import run
from meddenoise.networks import build
from meddenoise.phantom import PHANTOMS, make_phantom
from meddenoise.training.recipe_file import read_recipe

SEED, LEVELS = 9000, (15.0, 50.0)


def main() -> int:
    """Print PSNR in both precisions for each phantom and level, and the largest difference."""
    parser = argparse.ArgumentParser(description="Half precision against single precision.")
    parser.add_argument("state", type=Path, help="state.safetensors of a training run")
    parser.add_argument("--recipe", default="direct", help="the recipe of the run")
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe)
    with safe_open(arguments.state, framework="pt") as handle:
        names = [name for name in handle.keys() if name.startswith("ema.")]  # noqa: SIM118
        weights = {name.removeprefix("ema."): handle.get_tensor(name) for name in names}
    networks = []
    for state in (weights, {name: w.half() for name, w in weights.items()}):
        network = build(recipe.network, recipe.network_options)
        network.load_state_dict(state)
        networks.append(network.eval())
    most = 0.0
    for kind in PHANTOMS:
        truth = make_phantom(kind, size=256, planes=1, seed=SEED).truth[0]
        truth = truth * np.float32(255 / np.percentile(truth, 99.9))
        for level in LEVELS:
            both = [_psnr(network, truth, level) for network in networks]
            most = max(most, abs(both[0] - both[1]))
            print(f"{kind:8} sigma {level:4.0f}  float32 {both[0]:.4f} dB  float16 {both[1]:.4f} dB")
    print(f"largest difference {most:.5f} dB")
    return 0


@torch.no_grad()
def _psnr(network: torch.nn.Module, truth: np.ndarray, level: float) -> float:
    noise = np.random.default_rng(SEED).standard_normal(truth.shape, np.float32)
    noisy = torch.from_numpy(truth + np.float32(level) * noise)[None, None]
    bands = torch.ones(1, int(network.bands))  # type: ignore[arg-type]
    clean = network(noisy, torch.full_like(noisy, level), bands, torch.zeros(1))[0, 0].numpy()
    return float(10 * np.log10(255**2 / np.mean((clean - truth) ** 2)))


if __name__ == "__main__":
    run(main)
