"""Sizes of networks, as recipes and checkpoints give them: checked before anything is built of them."""

from collections.abc import Sequence

from meddenoise.errors import UsageError

WIDEST, DEEPEST, COARSEST = 4096, 64, 16
"""Most channels, most blocks of a level, and most pixels along a side that are unshuffled into one place."""
MOST_LEVELS = 6


def check_sizes(least: int, most: int, **sizes: object) -> None:
    """Raises UsageError for a size that is not a whole number from `least` to `most`."""
    for name, size in sizes.items():
        if type(size) is not int or not least <= size <= most:
            raise UsageError(f"{name} is {size!r}: give a whole number from {least} to {most}.")


def check_lists(least: int, most: int, **lists: object) -> None:
    """Raises UsageError for what is not a list of 1 to MOST_LEVELS sizes, as of `check_sizes`."""
    for name, sizes in lists.items():
        if not isinstance(sizes, Sequence) or not 1 <= len(sizes) <= MOST_LEVELS:
            raise UsageError(f"{name} is {sizes!r}: give a list of 1 to {MOST_LEVELS} whole numbers.")
        for number, size in enumerate(sizes, 1):
            check_sizes(least, most, **{f"number {number} of {name}": size})


def check_levels(channels: Sequence[int], blocks: Sequence[int]) -> None:
    """Raises UsageError for channels and blocks that are not those of the same levels."""
    check_lists(1, WIDEST, channels=channels)
    check_lists(1, DEEPEST, blocks=blocks)
    if len(channels) != len(blocks):
        raise UsageError(
            f"channels has {len(channels)} levels and blocks {len(blocks)}: give one of each for every level."
        )
