"""Training for a given time, and networks of peers in units of their training images."""

import math
import sys
from collections.abc import Callable
from time import perf_counter, process_time

import torch
from torch import Tensor, nn

CLIP = 1.0
WARM_UP = 0.03
"""Part of the time in which the rate rises."""
TELL_SECONDS = 30.0


def train_for(
    network: nn.Module, loss: Callable[[float], Tensor], minutes: float, rate: float, name: str
) -> tuple[int, float]:
    """Steps and minutes of AdamW on `loss`, a rate that follows a cosine; the network is in `eval` after.

    `loss` is called with the share of the time that has passed.

    Minutes of processor time, which on one thread are those of a core that is not shared.
    """
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-4)
    started, told, steps = process_time(), perf_counter(), 0
    while (passed := (process_time() - started) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, passed / WARM_UP + 1e-2) * 0.5 * (1 + math.cos(math.pi * passed))
        found = loss(passed)
        optimizer.zero_grad()
        found.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        steps += 1
        if perf_counter() - told > TELL_SECONDS:
            told = perf_counter()
            print(f"{name}: {steps} steps, loss {found.item():.4f}", file=sys.stderr, flush=True)
    network.eval()
    return steps, (process_time() - started) / 60
