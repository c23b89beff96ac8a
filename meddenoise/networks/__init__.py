"""SHELF of architectures: `build(name, options)` makes a network from the names a checkpoint carries."""

from inspect import signature
from pkgutil import resolve_name
from typing import Any

from torch import nn

from meddenoise.errors import unknown_name

NETWORKS: dict[str, str] = {
    "noise-unet": "meddenoise.networks.noise_unet:NoiseUNet",
    "noise-level": "meddenoise.networks.noise_level:NoiseLevelNet",
    "blind-spot": "meddenoise.networks.blind_spot:BlindSpotNet",
    "cond-unet": "meddenoise.networks.cond_unet:CondUNet",
    "vpsde-unet": "meddenoise.networks.vpsde_unet:VpsdeUNet",
}


def build(name: str, options: dict[str, Any]) -> nn.Module:
    """A freshly initialised network `name` with the keyword `options` of its class.

    Raises UsageError for a name that is not in NETWORKS, and for options the class does not have or allow.
    """
    if name not in NETWORKS:
        raise unknown_name("network", name, NETWORKS)
    made_by = resolve_name(NETWORKS[name])
    known = signature(made_by).parameters
    for option in options:
        if option not in known:
            raise unknown_name(f"option of {name!r}", option, known)
    network: nn.Module = made_by(**options)
    return network.float()
