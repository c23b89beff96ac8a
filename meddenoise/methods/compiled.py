"""Networks of checkpoints compiled once: kept in the cache folder, and in memory from series to series."""

import hashlib
import json
import logging
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from meddenoise.errors import OutputError
from meddenoise.io.atomic import write_whole
from meddenoise.methods import Setup
from meddenoise.networks.compiled import (
    CompilationError,
    CompiledBody,
    compile_body,
    openvino_version,
    processor,
)
from meddenoise.networks.noise_unet import NoiseUNet
from meddenoise.version import __version__
from meddenoise.weights.hub import cache_folder

IN_MEMORY = 4
"""Compiled networks that stay in memory: the checkpoints of a run."""
DIGEST_BYTES = 32

_log = logging.getLogger(__name__)
_compiling = threading.Lock()
_kept: OrderedDict[str, CompiledBody] = OrderedDict()


def run_compiled(network: NoiseUNet, setup: Setup) -> None:
    """Have the body of `network`, the one pass of the checkpoint of `setup`, run by OpenVINO if asked.

    Raises CompilationError where it cannot.
    """
    if setup.backend != "openvino":
        return
    facts = (setup.checkpoint.sha256, openvino_version(), __version__)
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    with _compiling:
        body = _kept.get(key) or _open(network, f"{key[:32]}-{_processor_digest()}")
        _kept[key] = body
        _kept.move_to_end(key)
        while len(_kept) > IN_MEMORY:
            _kept.popitem(last=False)
    network.body = body


def compiled_folder() -> Path | None:
    """Folder of the compiled networks, next to the weights that were fetched."""
    folder = cache_folder()
    return None if folder is None else folder.with_name("compiled")


def _processor_digest() -> str:
    return hashlib.sha256(processor().encode()).hexdigest()[:16]


def _open(network: NoiseUNet, name: str) -> CompiledBody:
    """The compiled network from the cache; compiled anew where it is missing there or damaged."""
    folder = compiled_folder()
    path = None if folder is None else folder / f"{name}.blob"
    blob = None if path is None else _read(path)
    if blob is not None:
        with suppress(CompilationError):
            return CompiledBody(blob)
    blob = compile_body(network)
    if path is not None:
        try:
            write_whole(path, hashlib.sha256(blob).digest() + blob)
        except OutputError as error:
            _log.debug("the compiled network is not kept: %s", error)
    return CompiledBody(blob)


def _read(path: Path) -> bytes | None:
    """A compiled network; None where there is none, or a damaged one."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, blob = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    return blob if hashlib.sha256(blob).digest() == digest else None
