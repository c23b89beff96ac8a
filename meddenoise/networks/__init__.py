"""SHELF of architectures: `build(name, options)` makes a network from the names a checkpoint carries."""

from importlib import import_module
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

    Raises UsageError for a name that is not in NETWORKS.
    """
    if name not in NETWORKS:
        raise unknown_name("network", name, NETWORKS)
    module, _, attribute = NETWORKS[name].partition(":")
    network: nn.Module = getattr(import_module(module), attribute)(**options)
    return network.float()
