"""GDCM (inside SimpleITK) as a decoder in a child process: its crashes and its chatter stay there.

Protocol on the child's pipes: a length (8 bytes, big endian) and a DICOM file in; a length and a NumPy .npy
file out, or length 0 where the frame does not decode.
"""

import struct
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct(">Q")


class Gdcm:
    """A context with one decoding child, started when the first frame needs it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is None:
            return
        self._child.kill()
        # closes the pipes and reaps the child
        self._child.communicate()

    def decode(self, file: bytes) -> NDArray[Any]:
        """The pixels [Y, X] or [Y, X, 3] of a single-frame DICOM file without rescale.

        Raises ValueError where GDCM cannot decode it.
        """
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "meddenoise.io.gdcm"],
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


def serve(source: BinaryIO, answers: BinaryIO) -> None:
    """The child's side: decode files from `source` until it ends."""
    import SimpleITK

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.dcm"
        while (file := _receive(source)) is not None:
            path.write_bytes(file)
            answer = BytesIO()
            try:
                frame = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
                np.save(answer, np.squeeze(frame, axis=0), allow_pickle=False)
            except (RuntimeError, ValueError):
                answer = BytesIO()
            _send(answers, answer.getvalue())


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
    serve(sys.stdin.buffer, sys.stdout.buffer)
