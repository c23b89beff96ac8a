"""Muon for the convolutions of a network, AdamW for all else, as one optimizer."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic whose iteration brings every singular value near 1 (Jordan et al.)."""
_ITERATIONS = 5
_MOMENTUM = 0.95
_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class Muon(torch.optim.Optimizer):
    """Momentum whose direction is made orthogonal for every convolution inside a network.

    Chosen over AdamW because validation scores rose in fewer steps. `ends` names modules that stay with
    AdamW: the first and the last layer, whose gradients say more by their size than by their direction.
    It is made orthogonal in `dtype`: bfloat16 is enough, and slow where the processor only imitates it.
    The update is scaled by 0.2 sqrt(larger side), so that one learning rate fits both kinds.
    torch.optim.Muon takes matrices only; convolutions are matrices [out, in x height x width] here.
    Source: Jordan et al. 2024 (Muon); Liu et al. 2025, arXiv 2502.16982 (the scale).
    """

    def __init__(
        self,
        network: nn.Module,
        ends: tuple[str, ...],
        lr: float,
        weight_decay: float,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        inner: list[Tensor] = []
        outer: list[Tensor] = []
        for name, weights in network.named_parameters():
            is_inner = weights.ndim == 4 and name.split(".")[0] not in ends
            (inner if is_inner else outer).append(weights)
        groups = [{"params": inner, "orthogonal": True}, {"params": outer, "orthogonal": False}]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients that are there."""
        for group in self.param_groups:
            weights = [w for w in group["params"] if w.grad is not None]
            for w in weights:
                w.mul_(1 - group["lr"] * group["weight_decay"])
            (self._step_muon if group["orthogonal"] else self._step_adam)(weights, group["lr"])

    def _step_muon(self, weights: list[Tensor], lr: float) -> None:
        alike: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for w in weights:
            grad, state = _gradient(w), self._state(w, "momentum")
            state["momentum"].lerp_(grad, 1 - _MOMENTUM)
            direction = grad.lerp(state["momentum"], _MOMENTUM).flatten(1)
            alike[(direction.shape[0], direction.shape[1])].append((w, direction))
        for shape, rows in alike.items():
            turned = orthogonalise(torch.stack([direction for _, direction in rows]), self._dtype)
            scale = 0.2 * max(shape) ** 0.5
            for (w, _), update in zip(rows, turned, strict=True):
                w.sub_(update.view(w.shape), alpha=lr * scale)

    def _step_adam(self, weights: list[Tensor], lr: float) -> None:
        for w in weights:
            grad, state = _gradient(w), self._state(w, "exp_avg", "exp_avg_sq")
            state["step"] += 1
            state["exp_avg"].lerp_(grad, 1 - _BETAS[0])
            state["exp_avg_sq"].lerp_(grad.square(), 1 - _BETAS[1])
            first, second = (1 - beta ** float(state["step"]) for beta in _BETAS)
            spread = (state["exp_avg_sq"] / second).sqrt_().add_(_EPSILON)
            w.addcdiv_(state["exp_avg"], spread, value=-lr / first)

    def _state(self, weights: Tensor, *moments: str) -> dict[str, Any]:
        state: dict[str, Any] = self.state[weights]
        if not state:
            state["step"] = torch.zeros(())
            state |= {
                name: torch.zeros_like(weights, memory_format=torch.contiguous_format) for name in moments
            }
        return state


def orthogonalise(matrices: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The nearest orthogonal directions of `matrices` [B, rows, columns], singular values about 0.7 to 1.2.

    Source: Newton-Schulz iteration of Jordan et al. 2024, in `dtype`.
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(dtype)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    turned: Tensor = (x.mT if tall else x).float()
    return turned


def _gradient(weights: Tensor) -> Tensor:
    assert weights.grad is not None
    return weights.grad.contiguous()
