"""The bits of a word that hold the value, where the header states a high bit other than BitsStored - 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

Planes = NDArray[Any]


class Bits(Protocol):
    """The part of a pixel format that this needs."""

    @property
    def bits_allocated(self) -> int: ...

    @property
    def bits_stored(self) -> int: ...

    @property
    def high_bit(self) -> int: ...

    @property
    def samples(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Settled:
    """Bits that the values of each file were shifted down by, and warnings."""

    shifts: tuple[int, ...]
    warnings: tuple[str, ...]


def is_odd(form: Bits) -> bool:
    """True for grey values that the header does not state in the lowest bits."""
    return form.samples == 1 and form.high_bit + 1 != form.bits_stored


def keep_bits(plane: Planes, form: Bits, high_bit: int) -> Planes:
    """The BitsStored bits up to `high_bit`, moved down: overlay bits beside them go, the sign is extended."""
    above = form.bits_allocated - 1 - high_bit
    kept: Planes = (plane << above) >> (form.bits_allocated - form.bits_stored)
    return kept


def settle_bits(pixels: Planes, forms: Sequence[Bits], places: Sequence[Sequence[int]]) -> Settled:
    """Move the values of raw words into the lowest bits, in place.

    Such files, which DICOM retired, come in two kinds: values really in the upper bits, and values in the
    lowest like those of all other files, below a wrong high bit. The words of all files that state the same
    tell: values in the upper bits leave those below empty, or go beyond what the lowest BitsStored bits hold.
    """
    shifts, warnings = [0] * len(forms), []
    kinds = {(form.bits_stored, form.high_bit) for form in forms if is_odd(form)}
    for stored, high_bit in sorted(kinds):
        alike = [n for n, form in enumerate(forms) if (form.bits_stored, form.high_bit) == (stored, high_bit)]
        form, planes = forms[alike[0]], [place for n in alike for place in places[n]]
        shift = high_bit + 1 - stored
        below = any((pixels[place] & (2**shift - 1)).any() for place in planes)
        is_low = below and all(_fits(pixels[place], form) for place in planes)
        for place in planes:
            pixels[place] = keep_bits(pixels[place], form, stored - 1 if is_low else high_bit)
        if is_low:
            warnings.append(
                f"the header states high bit {high_bit}, but the values are in the lowest {stored} bits: "
                "they are taken from there"
            )
        else:
            for n in alike:
                shifts[n] = shift
    return Settled(tuple(shifts), tuple(warnings))


def _fits(plane: Planes, form: Bits) -> bool:
    """True where nothing but a sign is above the lowest BitsStored bits."""
    signed = plane.dtype.kind == "i"
    lowest = -(2 ** (form.bits_stored - 1)) if signed else 0
    return bool(plane.min() >= lowest and plane.max() < 2**form.bits_stored)
