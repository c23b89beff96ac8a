"""The conditional U-Net: its printed sizes, any plane, silence at first, tiles like the whole."""

import pytest
import torch
from torch import Tensor

from meddenoise.errors import UsageError
from meddenoise.networks import build
from meddenoise.networks.cond_unet import PROFILES, CondUNet

PRINTED = {"paper": "102", "base": "26", "small": "3.7", "tiny": "0.65"}
"""Millions of parameters, as specified for one condition channel."""


def network(profile: str, seed: int = 0, **options: object) -> CondUNet:
    """A network none of whose layers is silent."""
    torch.manual_seed(seed)
    made = build("cond-unet", {"profile": profile, **options})
    assert isinstance(made, CondUNet)
    for weights in made.parameters():
        if weights.ndim > 1:
            torch.nn.init.kaiming_normal_(weights)
    return made.eval().requires_grad_(False)


def planes(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("profile", "millions"), PRINTED.items())
def test_the_profiles_have_the_printed_numbers_of_parameters(profile: str, millions: str) -> None:
    with torch.device("meta"):
        made = build("cond-unet", {"profile": profile})
    count = sum(weights.numel() for weights in made.parameters()) / 1e6
    digits = len(millions.partition(".")[2])
    assert f"{count:.{digits}f}" == millions


def test_the_shipped_size_is_small_enough_beside_two_other_networks() -> None:
    with torch.device("meta"):
        made = build("cond-unet", {"profile": "fast", "condition": 5})
    assert 2 * sum(weights.numel() for weights in made.parameters()) < 8 << 20, "bytes in half precision"


@pytest.mark.parametrize("profile", ["tiny", "fast"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 17), (33, 64)])
def test_any_size_goes_through(profile: str, shape: tuple[int, int]) -> None:
    made = network(profile, condition=2)
    result = made(planes(2, 1, *shape), planes(2, 2, *shape), torch.tensor([0.1, 1.0]))
    assert result.shape == (2, 1, *shape) and result.dtype == torch.float32
    assert bool(result.isfinite().all())


@pytest.mark.parametrize("profile", ["tiny", "small", "fast"])
def test_a_fresh_network_predicts_zero(profile: str) -> None:
    torch.manual_seed(0)
    fresh = build("cond-unet", {"profile": profile})
    assert torch.equal(
        fresh(planes(1, 1, 16, 16), planes(1, 1, 16, 16), torch.tensor([0.5])), torch.zeros(1, 1, 16, 16)
    )


def test_state_condition_and_time_all_matter_and_planes_do_not_see_each_other() -> None:
    made = network("tiny")
    state, condition, time = planes(2, 1, 24, 24), planes(2, 1, 24, 24, seed=1), torch.tensor([0.2, 0.7])
    plain = made(state, condition, time)
    for changed in (
        made(state + 0.1, condition, time),
        made(state, condition + 0.1, time),
        made(state, condition, time + 0.1),
    ):
        assert (changed - plain).abs().amax(dim=(1, 2, 3)).min() > 1e-3
    alone = made(state[:1], condition[:1], time[:1])
    assert torch.allclose(plain[:1], alone, atol=1e-4 * float(plain.abs().max()))


REACH = 208
"""More pixels than the `fast` profile sees to either side."""


def test_a_tile_is_the_whole_in_its_interior_without_norms_and_is_not_with_them() -> None:
    """A tile that is cut on the right; strips are cheap."""
    state, condition, time = planes(1, 1, 16, 640), planes(1, 5, 16, 640, seed=1), torch.tensor([0.4])
    differences = {}
    for profile in ("fast", "small"):
        made = network(profile, condition=5)
        whole = made(state, condition, time)[..., : 448 - REACH]
        tile = made(state[..., :448], condition[..., :448], time)[..., : 448 - REACH]
        differences[profile] = float((whole - tile).abs().max() / whole.std())
    assert differences["fast"] < 1e-5
    assert differences["small"] > 1e-3, "norms see the whole tile: the test can fail"


def test_attention_sees_the_whole_plane() -> None:
    """At 16 x 16 of a 32 x 32 plane every result depends on every pixel."""
    torch.manual_seed(0)
    made = CondUNet("tiny")
    made.down[-1].attention = type(network_attention())(64)  # the deepest level
    for weights in made.parameters():
        if weights.ndim > 1:
            torch.nn.init.kaiming_normal_(weights)
    state = planes(1, 1, 128, 128).requires_grad_()
    made(state, planes(1, 1, 128, 128, seed=1), torch.tensor([0.5]))[0, 0, 0, 0].backward()
    assert state.grad is not None and (state.grad != 0).float().mean() > 0.95


def network_attention() -> torch.nn.Module:
    """The attention of the profile that has it."""
    with torch.device("meta"):
        return next(layer for layer in CondUNet("base").modules() if type(layer).__name__ == "_Attention")


def test_a_low_precision_run_stays_close() -> None:
    exact, low = network("fast", condition=5), network("fast", condition=5)
    low.lower_trunk(torch.bfloat16)
    arguments = planes(1, 1, 64, 64), planes(1, 5, 64, 64, seed=1), torch.tensor([0.4])
    first, second = exact(*arguments), low(*arguments)
    assert second.dtype == torch.float32
    assert 0 < (first - second).abs().mean() < 0.05 * first.abs().mean()


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(UsageError, match="valid are base, fast"):
        CondUNet("huge")
    assert set(PRINTED) | {"fast"} == set(PROFILES)
