"""Cost of each method: processor time on one plane, relative to `direct`.

    python benchmarks/method_costs.py [--size 256] [--methods a,b] [--check]

One thread, fp32, on the CPU, the middle plane of a phantom (of a cine for methods that live by its frames),
weights loaded beforehand, the least of three runs, or one run of over a minute. `cost` in the table of the
methods (`meddenoise methods`) has these numbers, rounded, and that of the checkpoints that of `direct-fast`;
--check names those off by a factor of 2, and does not run methods that state no cost: samplers of thousands
of steps.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
from time import process_time

import numpy as np
import torch

from meddenoise.engine import Engine
from meddenoise.engine.planes import load_planes
from meddenoise.errors import MeddenoiseError
from meddenoise.methods import rows
from meddenoise.methods.table import USES
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import acquire, dose_noise, to_series
from meddenoise.pipeline import prepare
from meddenoise.pipeline.options import SMALL, Options
from meddenoise.pipeline.plan import engine_options

RUNS, LONG_SECONDS, OFF = 3, 60.0, 2.0
UNIT = "direct"


def main() -> None:
    """Measure, print one line a method, and with --check compare with the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--methods", default=",".join([*rows(), SMALL]))
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    unit, off = measure(UNIT, arguments.size), []
    print(f"{UNIT}: {unit:.3g} s of processor time on {arguments.size} x {arguments.size} pixels", flush=True)
    for name in arguments.methods.split(","):
        told = USES[name].cost if name == SMALL else rows()[name].cost
        if arguments.check and told is None:
            print(f"{name}: not measured (the table states no cost)", flush=True)
            continue
        try:
            cost = 1.0 if name == UNIT else measure(name, arguments.size) / unit
        except MeddenoiseError as error:
            print(f"{name}: not measured ({error})", flush=True)
            continue
        print(f"{name}: {cost:.2g} (the table says {told})", flush=True)
        if told is not None and not 1 / OFF <= cost / told <= OFF:
            off.append(name)
    if arguments.check and off:
        raise SystemExit(f"off by more than {OFF:g} times: {', '.join(off)}")


def measure(name: str, size: int) -> float:
    """Seconds of processor time that a method takes for one plane of `size` x `size` pixels."""
    method, weights = (UNIT, name) if name == SMALL else (name, None)
    row = rows()[method]
    phantom = make_phantom("fluoro" if row.temporal else "ct", size=size, planes=3 if row.temporal else 1)
    series = to_series(phantom, acquire(phantom, dose_noise(phantom), seed=0)[0], "noisy")
    options = Options(method=method, weights=weights, device="cpu", precision="fp32")
    plan = prepare(series, options)
    engine = Engine(plan.choice.method, plan.setup, engine_options(options, plan.device), lambda: None)
    middle = len(series) // 2
    planes, sigma = load_planes(series, middle, middle + 1, plan.noise, engine.context)
    taken: list[float] = []
    while len(taken) < RUNS and (not taken or taken[0] < LONG_SECONDS):
        started = process_time()
        engine.run(planes, sigma, middle)
        taken.append(process_time() - started)
    return float(np.min(taken))


if __name__ == "__main__":
    main()
