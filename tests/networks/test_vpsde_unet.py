"""The score network of the slides: what reaches its result, and its features of time."""

import math

import numpy as np
import pytest
import torch

from meddenoise.diffusion.schedules import cosine_levels
from meddenoise.networks.vpsde_unet import VpsdeUNet


def network(plus: bool) -> VpsdeUNet:
    torch.manual_seed(1)
    return VpsdeUNet(12, plus=plus).eval().requires_grad_(False)


def run(
    net: VpsdeUNet, state: torch.Tensor, time: float, measured: torch.Tensor | None = None
) -> torch.Tensor:
    return net(state, torch.full((len(state),), time), measured)


@pytest.mark.parametrize("plus", [False, True])
def test_state_time_and_measured_image_matter_and_planes_do_not_see_each_other(plus: bool) -> None:
    net = network(plus)
    state, other = torch.randn(2, 2, 1, 12, 20)
    measured = other if plus else None
    found = run(net, state, 0.4, measured)
    assert found.shape == state.shape and found.dtype == torch.float32
    assert not torch.allclose(run(net, state, 0.6, measured), found, atol=1e-4)
    assert not torch.allclose(run(net, state + 0.1, 0.4, measured), found, atol=1e-4)
    if plus:
        assert not torch.allclose(run(net, state, 0.4, other + 0.1), found, atol=1e-4)
    alone = run(net, state[1:], 0.4, None if measured is None else measured[1:])
    assert torch.allclose(alone, found[1:], atol=1e-5)
    with pytest.raises(AssertionError):
        run(network(True), state, 0.4)


@pytest.mark.parametrize("name", ["down1", "down2", "mid1", "mid2", "up1", "skip1", "up2", "skip2"])
def test_every_layer_reaches_the_result(name: str) -> None:
    net = network(False)
    state = torch.randn(1, 1, 8, 8)
    before = run(net, state, 0.5)
    layer = getattr(net, name)
    layer.weight.zero_()
    layer.bias.zero_()
    assert not torch.allclose(run(net, state, 0.5), before, atol=1e-6)


def test_attention_sees_every_place_and_adds_to_its_input() -> None:
    attention = network(False).attention
    x = torch.randn(1, 48, 5, 6)
    moved = x.clone()
    moved[..., 0, 0] += torch.randn(48)
    assert ((attention(moved) - attention(x)).abs().amax(dim=1)[0] > 1e-7).all()
    attention.out.weight.zero_()
    attention.out.bias.zero_()
    assert torch.equal(attention(x), x)


def test_attention_is_that_of_the_formula_head_by_head() -> None:
    attention = network(False).attention
    x = torch.randn(1, 48, 3, 4)
    q, k, v = (
        part.reshape(8, 6, 12).transpose(1, 2) for part in attention.qkv(attention.norm(x))[0].chunk(3)
    )
    weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(6), dim=2)
    mixed = (weights @ v).transpose(1, 2).reshape(1, 48, 3, 4)
    assert torch.allclose(attention(x), x + attention.out(mixed), atol=1e-5)


def test_time_is_told_in_waves_of_the_logarithm_of_its_noise() -> None:
    net = network(True)
    seen: list[torch.Tensor] = []
    net.time.register_forward_hook(lambda module, given, made: seen.append(given[0]))
    state = torch.randn(3, 1, 8, 8)
    net(state, torch.tensor([0.1, 0.5, 0.9]), state)
    (told,) = seen
    level = cosine_levels(torch.tensor([0.1, 0.5, 0.9]))[1].log().numpy()
    cycles = np.geomspace(0.05, 4.0, 16)
    angles = 2 * np.pi * level[:, None] * cycles
    assert told.numpy() == pytest.approx(np.concatenate([np.sin(angles), np.cos(angles)], axis=1), abs=1e-4)
