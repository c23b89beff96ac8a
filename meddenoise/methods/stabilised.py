"""Denoising behind the transform that gives Rician noise one level, and around pixels without noise."""

from collections.abc import Callable

import torch
from torch import Tensor

from meddenoise.noise.stabilise import Rician

UNDETECTABLE = 0.6
"""Signal in sigmas that fluctuations left in an empty background of magnitudes still feign: it is taken off
as noise power is, s = sqrt(s^2 - u^2), which leaves stronger signals alone."""


def as_map(sigma: Tensor, noisy: Tensor) -> Tensor:
    """`sigma` [B] or [B, 1, H, W] as [B, 1, H, W]."""
    return sigma.reshape(-1, 1, 1, 1).expand_as(noisy) if sigma.ndim == 1 else sigma


def on_stable(run: Callable[[Tensor, Tensor], Tensor], noisy: Tensor, sigma: Tensor, rician: bool) -> Tensor:
    """`run(noisy, sigma map)`, behind the Rician transform if asked; the input itself where sigma is 0.

    `noisy` may have neighbours on either side, [B, 2 n + 1, H, W]: it is the middle plane that is denoised.
    """
    middle = noisy[:, noisy.shape[1] // 2, None]
    level = as_map(sigma, middle)
    safe = torch.where(level > 0, level, torch.ones_like(level))
    if not rician:
        return torch.where(level > 0, run(noisy, safe), middle)
    transform = Rician(safe.cpu().numpy())
    stable = torch.from_numpy(transform.forward(noisy.cpu().numpy())).to(noisy.device)
    clean = run(stable, torch.ones_like(safe))
    clean = torch.from_numpy(transform.inverse(clean.cpu().numpy())).to(noisy.device)
    clean = (clean.square() - (UNDETECTABLE * safe).square()).clamp(min=0).sqrt()
    return torch.where(level > 0, clean, middle)
