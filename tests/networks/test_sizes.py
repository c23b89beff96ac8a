"""Sizes of networks: whatever a file gives, there is a network or a sentence."""

import inspect
from pkgutil import resolve_name
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from meddenoise.errors import UsageError
from meddenoise.networks import NETWORKS, build

SIZES = st.integers(-1, 4) | st.sampled_from([12, 10**6, 10**400, 2.0, True, "fast", None])
VALUES = SIZES | st.lists(SIZES, max_size=4) | st.tuples(SIZES, SIZES)


def options_of(name: str) -> list[str]:
    return list(inspect.signature(resolve_name(NETWORKS[name])).parameters)


@settings(max_examples=25, deadline=None)
@given(st.data())
@pytest.mark.parametrize("name", NETWORKS)
def test_any_value_of_any_option_gives_a_network_or_a_sentence(name: str, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(options_of(name)), unique=True, min_size=1))
    options: dict[str, Any] = {option: data.draw(VALUES) for option in chosen}
    try:
        with torch.device("meta"):
            assert isinstance(build(name, options), nn.Module)
    except UsageError as error:
        assert any(option in str(error) for option in chosen) and str(error).endswith(".")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        (
            "noise-unet",
            {"channels": [8, 0], "blocks": [1, 1]},
            "number 2 of channels is 0: .* from 1 to 4096",
        ),
        ("noise-unet", {"channels": [], "blocks": []}, r"channels is \[\]: give a list"),
        ("noise-unet", {"channels": [8, 8]}, "channels has 2 levels and blocks 3"),
        ("noise-unet", {"frames": 2}, "frames is 2: give an odd number"),
        ("noise-unet", {"unshuffle": True}, "unshuffle is True"),
        ("noise-level", {"channels": [8]}, r"channels is \[8\]: give a whole number"),
        ("blind-spot", {"radii": 2}, "radii is 2: give a list"),
        ("vpsde-unet", {"width": 20}, "give a multiple of 6"),
        ("vpsde-unet", {"width": 18, "plus": True}, "give a multiple of 12"),
        ("cond-unet", {"profil": "fast"}, "did you mean 'profile'"),
    ],
)
def test_each_fault_is_one_sentence(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build(name, options)
