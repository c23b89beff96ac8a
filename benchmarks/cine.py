"""A long fluoroscopy run through the real command line: frames a second and peak resident memory.

    python benchmarks/cine.py [--frames 1000] [--size 512] [--method direct] [--compressed] [--json FILE]

The run is a phantom cine of a few frames, repeated. The peer, non-local means, does fewer frames in the same
sitting: compare the ratio of seconds a frame, not the seconds of two machines. Nothing is asserted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, BinaryIO

from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGLSLossless, generate_uid
from rich.console import Console

Measured = dict[str, Any]

DISTINCT = 8
"""Frames drawn; the run repeats them."""
PEER, PEER_FRAMES = "nlm", 16
POLL_S = 0.05
_PROGRAM = (sys.executable, "-m", "meddenoise")


def main() -> None:
    """Make the run, denoise it, and print what it cost."""
    arguments = _parse()
    console = Console(width=140)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, short = folder / "run.dcm", folder / "short.dcm"
        size = write_run(run, arguments.frames, arguments.size, arguments.compressed)
        write_run(short, min(PEER_FRAMES, arguments.frames), arguments.size, arguments.compressed)
        ours = measure(run, folder / "out.dcm", arguments.method)
        start = measure(short, folder / "short_out.dcm", arguments.method)
        peer = measure(short, folder / "peer.dcm", PEER)
    what = "JPEG-LS" if arguments.compressed else "native"
    console.print(
        f"{arguments.frames} frames of {arguments.size} x {arguments.size}, 16 bits: {size / 2**20:.0f} MiB "
        f"of pixels, {what}"
    )
    for label, result in ((arguments.method, ours), (arguments.method, start), (PEER, peer)):
        console.print(
            f"{label:>12}, {result['frames']} frames: {result['frames_per_second']:.2f} frames/s, "
            f"{result['wall_s']:.1f} s with reading and writing, peak {result['peak_mib']:.0f} MiB"
        )
    ratio = ours["frames_per_second"] / peer["frames_per_second"]
    console.print(f"{arguments.method} does {ratio:.2f} times the frames of {PEER} in the same time")
    if arguments.json is not None:
        document = {"bytes": size, "run": ours, "short": start, PEER: peer, "ratio": ratio}
        arguments.json.write_text(json.dumps(document, indent=1))


def write_run(path: Path, frames: int, size: int, compressed: bool) -> int:
    """Write an XA run of `frames` at `path`, JPEG-LS or native; returns the bytes of its pixels."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "phantom"
        shape = ["--frames", str(DISTINCT), "--size", str(size)]
        subprocess.run([*_PROGRAM, "phantom", "fluoro", str(made), *shape], check=True, capture_output=True)
        dataset = dcmread(next(made.glob("noisy/*.dcm")))
    native = size * size * 2
    drawn = [dataset.PixelData[start : start + native] for start in range(0, native * DISTINCT, native)]
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["cine", str(frames), str(size)])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if compressed:
        dataset.compress(JPEGLSLossless)
        drawn = list(generate_frames(dataset.PixelData, number_of_frames=DISTINCT))
    dataset.NumberOfFrames = frames
    del dataset.PixelData
    dataset.save_as(path, enforce_file_format=True)
    with path.open("ab") as stream:
        _write_pixels(stream, [drawn[number % DISTINCT] for number in range(frames)], compressed)
    return native * frames


def measure(source: Path, target: Path, method: str) -> Measured:
    """Denoise `source` by the command line; its frames a second, wall seconds and peak resident MiB.

    Raises RuntimeError with what it said where it fails.
    """
    command = [*_PROGRAM, "denoise", str(source), "-o", str(target), "--method", method, "--json"]
    started = perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident_peak(process.pid))
            sleep(POLL_S)
        out, messages = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {messages[-500:]}")
    wall, row = perf_counter() - started, json.loads(out)
    return {
        "frames": row["shape"][0],
        "frames_per_second": row["slices_per_second"],
        "wall_s": wall,
        "peak_mib": peak / 2**20 or row["peak_memory_mib"],
    }


def resident_peak(pid: int) -> int:
    """Largest resident bytes of a process so far (VmHWM); 0 where the system does not tell or it ended.

    What `wait` tells of a child is no less than what its parent held when it was started.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line.split() for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0][1]) << 10 if lines else 0


def _write_pixels(stream: BinaryIO, frames: Sequence[bytes], compressed: bool) -> None:
    """The element Pixel Data in explicit VR little endian, a frame at a time."""
    if not compressed:
        length = sum(map(len, frames))
        stream.write(b"\xe0\x7f\x10\x00OW\0\0" + length.to_bytes(4, "little"))
        for frame in frames:
            stream.write(frame)
        return
    item = b"\xfe\xff\x00\xe0"
    stream.write(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + item + bytes(4))
    for frame in frames:
        stream.write(item + len(frame).to_bytes(4, "little") + frame)
    stream.write(b"\xfe\xff\xdd\xe0" + bytes(4))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--method", default="direct")
    parser.add_argument("--compressed", action="store_true", help="JPEG-LS in place of native pixels.")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
