"""Noise2Void by CAREamics, as a program of its own: noisy stacks in, denoised stacks out.

    python papers/rivals/noise2void.py INPUT.npz OUTPUT.npz --minutes 5 [--seed 0]

INPUT.npz holds `train` and `others`, float32 [N, Y, X]; the network is trained on `train` alone and applied
to both. OUTPUT.npz holds the same names, `minutes` and `steps`. It needs CAREamics, torch and NumPy and
nothing else: CAREamics, which wants certain versions of torch, may live in an environment of its own.

Source: Krull, Buchholz, Jug 2019, CVPR; https://careamics.github.io. The package's own network, masking,
augmentation and normalisation. For a fixed time on one thread: bfloat16 and channels_last, and a rate that
follows a cosine over that time.
"""

import argparse
import math
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from careamics import CAREamist
from careamics.config.factories import create_advanced_n2v_config
from lightning.pytorch import Callback

RATE = 1e-3
BATCH = 32
"""Fewer patches gave 1.6 dB less after the same time: each step measures few masked pixels."""
PATCH = 64
MASKED_PERCENT = 1.5
"""64 pixels of each patch, as in the paper; the package's 0.2 is made for longer training."""
BOX = 5
EPOCH_STEPS = 100
WARM_UP = 0.03
"""Part of the time in which the rate rises."""


class Clock(Callback):  # type: ignore[misc]
    """The learning rate by the time that has passed; stops when the time is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.started = 0.0
        self.steps = 0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> int | None:
        """The rate of this step; -1, which ends the epoch, where no time is left."""
        self.started = self.started or perf_counter()
        passed = (perf_counter() - self.started) / self.seconds
        if passed >= 1:
            trainer.should_stop = True
            return -1
        rate = RATE * min(1.0, passed / WARM_UP + 1e-2) * 0.5 * (1 + math.cos(math.pi * passed))
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate
        self.steps += 1
        return None

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """A line of progress."""
        loss = float(trainer.callback_metrics.get("train_loss", math.nan))
        print(f"noise2void: {self.steps} steps, loss {loss:.4f}", flush=True)


def main() -> None:
    """Train on one stack, denoise two."""
    arguments = _parse()
    torch.set_num_threads(1)
    stacks = np.load(arguments.input)
    clock = Clock(60 * arguments.minutes)
    with tempfile.TemporaryDirectory() as folder:
        network = CAREamist(
            _configuration(arguments.seed + 1), work_dir=folder, callbacks=[clock], enable_progress_bar=False
        )
        network.model.to(memory_format=torch.channels_last)
        network.train(train_data=stacks["train"])
        minutes = (perf_counter() - clock.started) / 60
        checkpoint = Path(folder, "trained.ckpt")
        network.trainer.save_checkpoint(checkpoint)
        results = {
            name: np.stack([_denoise(network, plane, checkpoint) for plane in stacks[name]])
            for name in ("train", "others")
        }
    np.savez(
        arguments.output,
        minutes=minutes,
        steps=clock.steps,
        train=results["train"],
        others=results["others"],
    )


def _configuration(seed: int) -> Any:

    return create_advanced_n2v_config(
        experiment_name="noise2void",
        data_type="array",
        axes="SYX",
        patch_size=[PATCH, PATCH],
        batch_size=BATCH,
        num_epochs=1_000_000,
        num_steps=EPOCH_STEPS,
        roi_size=BOX,
        masked_pixel_percentage=MASKED_PERCENT,
        num_workers=0,
        trainer_params={"precision": "bf16-mixed", "accelerator": "cpu", "enable_model_summary": False},
        optimizer_params={"lr": RATE},
        lr_scheduler="StepLR",
        lr_scheduler_params={"step_size": 1_000_000},
        checkpoint_params={"save_top_k": 0, "save_last": False},
        seed=seed,
    )


def _denoise(network: CAREamist, plane: Any, checkpoint: Path) -> Any:
    """The denoised plane [Y, X], float32."""
    results, _ = network.predict(plane, axes="YX", batch_size=1, num_workers=0, checkpoint=checkpoint)
    return np.asarray(results[0], np.float32).reshape(plane.shape)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Noise2Void by CAREamics.")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
