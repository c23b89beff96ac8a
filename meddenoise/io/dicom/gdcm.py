"""GDCM (inside SimpleITK) as a decoder in a child process: its crashes and its chatter stay there.

Protocol on the child's pipes: a length (8 bytes, big endian) and a DICOM file in; a length and a NumPy .npy
file out, or length 0 where the frame does not decode. GDCM opens files by name only: the frame is a file in
memory where the system has such, so that a patient's pixels are never on the disk.
"""

import os
import struct
import subprocess
import sys
import tempfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from meddenoise.io.temporary import sweep, temporary_name

_LENGTH = struct.Struct(">Q")
IN_MEMORY = sys.platform == "linux"
"""True if the frame given to GDCM is a file in memory; elsewhere it is one in the temporary folder."""


class Gdcm:
    """A context with one decoding child, started when the first frame needs it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._path = None if IN_MEMORY else Path(tempfile.gettempdir()) / temporary_name()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is None:
            return
        # without a frame to wait for, the child ends by itself and tidies up
        with suppress(OSError, subprocess.TimeoutExpired):
            self._child.communicate(timeout=5 if kind is None else 0.5)
        if self._child.poll() is None:
            self._child.kill()
            self._child.communicate()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def decode(self, file: bytes) -> NDArray[Any]:
        """The pixels [Y, X] or [Y, X, 3] of a single-frame DICOM file without rescale.

        Raises ValueError where GDCM cannot decode it.
        """
        if self._child is None:
            place = []
            if self._path is not None:
                sweep(self._path.parent)
                place = [str(self._path)]
            self._child = subprocess.Popen(
                [sys.executable, "-m", "meddenoise.io.dicom.gdcm", *place],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        assert self._child.stdin is not None and self._child.stdout is not None
        try:
            _send(self._child.stdin, file)
            answer = _receive(self._child.stdout)
        except OSError:
            answer = None
        if not answer:
            raise ValueError("GDCM does not decode the frame")
        frame: NDArray[Any] = np.load(BytesIO(answer), allow_pickle=False)
        return frame


def serve(source: BinaryIO, answers: BinaryIO, path: Path | None = None) -> None:
    """The child's side: decode files from `source` until it ends, each kept at `path` or in memory."""
    on_disk = path is not None
    place = path or Path(f"/proc/self/fd/{os.memfd_create('frame')}")
    try:
        while (file := _receive(source)) is not None:
            place.write_bytes(file)
            _send(answers, _decode(place))
    finally:
        if on_disk:
            place.unlink(missing_ok=True)


def _decode(path: Path) -> bytes:
    """The frame of a file as .npy, empty where it does not decode."""
    import SimpleITK

    answer = BytesIO()
    try:
        frame = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO"))
        np.save(answer, np.squeeze(frame, axis=0), allow_pickle=False)
    except (RuntimeError, ValueError):
        return b""
    return answer.getvalue()


def _send(stream: Any, message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def _receive(stream: Any) -> bytes | None:
    """The next message, or None where the other side has ended."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    length = _LENGTH.unpack(head)[0]
    message: bytes = stream.read(length)
    return message if len(message) == length else None


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer, *map(Path, sys.argv[1:]))
