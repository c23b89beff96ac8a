"""Number of threads of torch: all for the network, one for the work that runs at the same time."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch


@cache
def all_threads() -> int:
    """The threads that torch had when this was first called: before any thread took but one for itself.

    A thread that first uses torch while others compute with one would begin with one too.
    """
    return torch.get_num_threads()


def use_threads(count: int) -> None:
    """Have torch compute with so many threads in this one."""
    torch.set_num_threads(count)


@contextmanager
def one_thread() -> Iterator[None]:
    """torch computes in this thread alone: the same sums everywhere, and no waiting for busy cores."""
    before = torch.get_num_threads()
    all_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
