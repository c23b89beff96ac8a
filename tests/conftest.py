"""Setup of all tests: one thread a process, a cache folder of their own, and the slow files first."""

import os
import tempfile

import pytest

# Before torch is imported, and for the programs that tests start: there is a process for every core already.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
if "XDG_CACHE_HOME" not in os.environ:
    _cache = tempfile.TemporaryDirectory()  # of the first process, for those that it starts too
    os.environ["XDG_CACHE_HOME"] = _cache.name


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
