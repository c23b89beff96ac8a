"""Sealed safetensors: the bytes of a checkpoint, in which no bit can flip unseen; read without torch.

The file is plain safetensors whose one metadata entry `meddenoise` is a JSON object. Its `digest` is the
SHA-256 of the whole file with the digest's own 64 characters set to `0`, so names, dtypes, shapes, values
and the metadata itself are all covered. The seal is against accidents; against a swapped file stands the
SHA-256 in the manifest.
"""

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from meddenoise.errors import WeightsError

FORMAT_VERSION = 1
METADATA_KEY = "meddenoise"
BLANK_DIGEST = "0" * 64
MAX_HEADER_BYTES = 4 << 20
MAX_TENSORS = 20_000
PICKLE_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin"})
DTYPE_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}


@dataclass(frozen=True, slots=True)
class Sealed:
    """A checkpoint's bytes after every check, its metadata and the SHA-256 of the whole file (hex)."""

    raw: bytes = field(repr=False)
    metadata: dict[str, Any]
    sha256: str


def seal(raw: bytes) -> bytes:
    """The safetensors bytes `raw`, whose metadata holds BLANK_DIGEST once, with the digest filled in."""
    digest = hashlib.sha256(raw).hexdigest()
    return raw.replace(BLANK_DIGEST.encode(), digest.encode(), 1)


def read_sealed(path: Path, sha256: str | None) -> Sealed:
    """The sealed file at `path`, which must have the hash `sha256` (hex) unless that is None.

    Raises WeightsError for everything that is not a sound file in this format: pickle or zip content,
    truncated or contradicting headers, a wrong hash, missing metadata, a newer format, a broken seal.
    """
    raw = _read_bytes(path)
    found = hashlib.sha256(raw).hexdigest()
    if sha256 is not None and found != sha256:
        raise WeightsError(
            f"{path} is not the published file (SHA-256 {found[:12]}..., expected {sha256[:12]}...): "
            "fetch it again with `meddenoise weights pull`, or reinstall meddenoise where it came with it."
        )
    header_end = 8 + int.from_bytes(raw[:8], "little")
    header = _parse_header(path, raw[8:header_end])
    metadata = _parse_metadata(path, header.pop("__metadata__", None))
    _check_layout(path, header, len(raw) - header_end)
    _check_seal(path, raw, header_end, metadata)
    return Sealed(raw, metadata, found)


def _read_bytes(path: Path) -> bytes:
    """The whole file, once its first bytes and its size say that it can be safetensors."""
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise WeightsError(
            f"{path} is a {path.suffix} file, which can run code when it is loaded: "
            "only .safetensors checkpoints written by meddenoise are read."
        )
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise WeightsError(f"{path} {what}: give the path of a .safetensors checkpoint.")
    try:
        with path.open("rb") as file:
            _check_start(path, file)
            return file.read()
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read ({error.strerror}): check the file's permissions."
        ) from error


def _check_start(path: Path, file: BinaryIO) -> None:
    """Refuse by the first nine bytes; leaves `file` at its start."""
    size = path.stat().st_size
    start = file.read(9)
    file.seek(0)
    header_bytes = int.from_bytes(start[:8], "little")
    if start[8:] == b"{" and header_bytes > MAX_HEADER_BYTES:
        raise WeightsError(
            f"{path} declares a header of {header_bytes} bytes, more than the {MAX_HEADER_BYTES} "
            "any checkpoint needs: it is damaged or hostile, fetch it again from its source."
        )
    if start[8:] == b"{" and 8 + header_bytes <= size:
        return
    if start[:4] == b"PK\x03\x04" or (
        start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5" and start[8:] != b"{"
    ):
        raise WeightsError(
            f"{path} holds a Python pickle or a zip archive, which can run code when it is loaded: "
            "only .safetensors checkpoints written by meddenoise are read."
        )
    if len(start) < 9 or start[8:] == b"{":
        raise WeightsError(f"{path} is cut short after {size} bytes: fetch or copy it again.")
    raise WeightsError(
        f"{path} is not a safetensors file: give a .safetensors checkpoint written by meddenoise."
    )


def _parse_header(path: Path, text: bytes) -> dict[str, Any]:
    """The header's JSON object; refuses repeated names and absurd numbers of tensors."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(entries := dict(pairs)) != len(pairs):
            raise ValueError("a name appears twice")
        return entries

    try:
        header = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} has a damaged header ({error}): fetch or copy it again.") from error
    if not isinstance(header, dict):
        raise _damaged(path, "it is not a JSON object")
    if len(header) > MAX_TENSORS:
        raise WeightsError(
            f"{path} lists {len(header)} tensors, more than the {MAX_TENSORS} any checkpoint needs: "
            "it is damaged or hostile, fetch it again from its source."
        )
    return header


def _parse_metadata(path: Path, entries: Any) -> dict[str, Any]:
    """The JSON object under METADATA_KEY, of a format version this meddenoise reads."""
    try:
        metadata = json.loads(entries[METADATA_KEY])
        version = metadata["format_version"]
    except (TypeError, KeyError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path} carries no meddenoise metadata: it was not written by meddenoise, or is damaged; "
            "give a checkpoint made by `meddenoise train`."
        ) from error
    if not isinstance(version, int) or version < 1:
        raise _damaged(path, f"format version {version!r}")
    if version > FORMAT_VERSION:
        raise WeightsError(
            f"{path} was written by a newer meddenoise (format {version}, this one reads up to "
            f"{FORMAT_VERSION}): update meddenoise."
        )
    return dict(metadata)


def _check_layout(path: Path, header: dict[str, Any], data_bytes: int) -> None:
    """Every tensor has a known dtype, and together they fill the data without gap or overlap."""
    spans = [(0, 0), *sorted(_span(path, name, entry) for name, entry in header.items())]
    if any(before[1] != after[0] for before, after in pairwise(spans)):
        raise _damaged(path, "tensors overlap or leave gaps")
    expected = spans[-1][1]
    if expected > data_bytes:
        raise WeightsError(
            f"{path} is cut short ({data_bytes} of {expected} bytes of weights): fetch or copy it again."
        )
    if expected < data_bytes:
        raise _damaged(path, f"{data_bytes - expected} bytes follow the weights")


def _span(path: Path, name: str, entry: Any) -> tuple[int, int]:
    """First and last byte of a tensor in the data, checked against its dtype and shape."""
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers_fit = all(type(n) is int and n >= 0 for n in (*shape, start, stop))
    except (TypeError, KeyError, ValueError) as error:
        raise _damaged(path, f"the entry of {name!r}") from error
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise WeightsError(
            f"{path}: tensor {name!r} has the unknown dtype {dtype!r} (known are {', '.join(DTYPE_BYTES)}): "
            "the file is damaged or needs another meddenoise."
        )
    if not numbers_fit or stop - start != math.prod(shape) * DTYPE_BYTES[dtype]:
        raise _damaged(path, f"shape and size of {name!r} contradict each other")
    return start, stop


def _check_seal(path: Path, raw: bytes, header_end: int, metadata: dict[str, Any]) -> None:
    digest = metadata.pop("digest", None)
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise _damaged(path, "its metadata has no digest")
    header = raw[:header_end]
    blank = header.replace(digest.encode(), BLANK_DIGEST.encode())
    check = hashlib.sha256(blank)
    check.update(memoryview(raw)[header_end:])
    if header.count(digest.encode()) != 1 or check.hexdigest() != digest:
        raise WeightsError(
            f"{path} was changed after it was written (its digest does not match): fetch or copy it again."
        )


def _damaged(path: Path, what: str) -> WeightsError:
    return WeightsError(f"{path} has a damaged header ({what}): fetch or copy it again.")
