"""Phantoms of one value, whose noise is known by hand."""

from dataclasses import replace
from functools import cache

import numpy as np

from meddenoise.phantom import Phantom, make_phantom


@cache
def drawn(name: str, planes: int, seed: int) -> Phantom:
    return make_phantom(name, size=32, planes=planes, seed=seed)


def flat(name: str, value: float, planes: int = 1, seed: int = 0) -> Phantom:
    phantom = drawn(name, planes, seed)
    return replace(phantom, truth=np.full_like(phantom.truth, value))
