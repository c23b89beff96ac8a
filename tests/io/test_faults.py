"""Bad input: every fault ends in a named error and one sentence, never in a crash, a hang or a bomb."""

import gzip
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from meddenoise.errors import CorruptError, InputError, NotAnImageError, UnsupportedError
from meddenoise.io import discover, read
from tests.io_samples import RNG, ct_slice, nifti, packaged, png, save, tiff

Fault = Callable[[Path], Path]


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def ct_bytes() -> bytes:
    out = BytesIO()
    ct_slice().save_as(out, enforce_file_format=True)
    return out.getvalue()


def compressed(folder: Path, syntax: str, frame: bytes, **changes: object) -> Path:
    dataset = ct_slice(**changes)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return save(dataset, folder / "x.dcm")


def rle_overrun(folder: Path) -> Path:
    """A segment longer than the plane, at which pylibjpeg-rle panics."""
    segment = b"\x81\x00" * 100
    head = struct.pack("<16L", 2, 64, 64 + len(segment), *[0] * 13)
    return compressed(folder, RLELossless, head + segment[:10] + segment)


def rle_short(folder: Path) -> Path:
    head = struct.pack("<16L", 2, 64, 74, *[0] * 13)
    return compressed(folder, RLELossless, head + b"\x00\x07" * 10)


def deflate_bomb(folder: Path) -> Path:
    """1 MiB that inflates to 1 GiB behind a header that declares 96 bytes."""
    dataset = ct_slice()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    data = out.getvalue()
    start = 132 + 12 + struct.unpack("<I", data[140:144])[0]
    body = zlib.decompress(data[start:], -zlib.MAX_WBITS)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = squeeze.compress(body)
    for _ in range(64):
        packed += squeeze.compress(bytes(16 << 20))
    return written(folder / "bomb.dcm", data[:start] + packed + squeeze.flush())


def deep_nesting(folder: Path) -> Path:
    depth = 400
    item = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    data = ct_bytes()
    start = 132 + 12 + struct.unpack("<I", data[140:144])[0]
    return written(folder / "deep.dcm", data[:start] + item * depth + end * depth + data[start:])


def huge_matrix(folder: Path) -> Path:
    return save(ct_slice(Rows=65535, Columns=65535, NumberOfFrames=1000), folder / "huge.dcm")


def huge_compressed(folder: Path) -> Path:
    return compressed(folder, JPEG2000Lossless, b"\xff\x4f" + bytes(100), Rows=65535, Columns=65535)


def wrong_codestream_size(folder: Path) -> Path:
    dataset = ct_slice()
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    dataset.Rows = 16
    return save(dataset, folder / "size.dcm")


def too_few_frames(folder: Path) -> Path:
    dataset = ct_slice()
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    dataset.NumberOfFrames = 5
    return save(dataset, folder / "frames.dcm")


def nifti_bytes(**fields: tuple[int, bytes]) -> bytes:
    """A NIfTI-1 file of 2 x 2 x 2 int16 with header bytes replaced at offsets."""
    import nibabel

    image = nibabel.Nifti1Image(np.ones((2, 2, 2), np.int16), np.eye(4))
    data = bytearray(image.to_bytes())
    for offset, value in fields.values():
        data[offset : offset + len(value)] = value
    return bytes(data)


def nifti_dims(*dims: int) -> Fault:
    packed = struct.pack(f"<{len(dims)}h", *dims)
    return lambda folder: written(folder / "v.nii", nifti_bytes(dim=(40, packed)))


def nifti_type(code: int) -> Fault:
    packed = struct.pack("<h", code)
    return lambda folder: written(folder / "v.nii", nifti_bytes(datatype=(70, packed)))


def truncated(make: Callable[[Path], Path], keep: float) -> Fault:
    def fault(folder: Path) -> Path:
        path = make(folder)
        data = path.read_bytes()
        return written(path, data[: int(len(data) * keep)])

    return fault


def noisy_png(folder: Path) -> Path:
    return png(folder / "x.png", RNG(1).integers(0, 255, (64, 64), np.uint8))


def noisy_nifti(folder: Path) -> Path:
    return nifti(folder / "x.nii.gz", RNG(1).integers(0, 999, (9, 20, 20), np.int16))


def noisy_tiff(folder: Path) -> Path:
    return tiff(folder / "x.tif", RNG(1).integers(0, 255, (3, 64, 64), np.uint8))


def flipped_bit(folder: Path) -> Path:
    path = noisy_png(folder)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    return written(path, bytes(data))


def png_bomb(folder: Path) -> Path:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return written(folder / "bomb.png", b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))


def animation(folder: Path) -> Path:
    from PIL import Image

    first, second = (Image.fromarray(RNG(n).integers(0, 255, (8, 8), np.uint8)) for n in range(2))
    first.save(folder / "a.png", save_all=True, append_images=[second])
    return folder / "a.png"


FAULTS: dict[str, tuple[Fault, type[InputError], str]] = {
    "empty": (lambda d: written(d / "x.dcm", b""), NotAnImageError, "is empty"),
    "text": (lambda d: written(d / "x.dcm", b"hello " * 99), NotAnImageError, "is not a DICOM"),
    "zip": (lambda d: written(d / "x.zip", b"PK\3\4" + bytes(200)), CorruptError, "is a damaged zip archive"),
    "header cut": (lambda d: written(d / "x.dcm", ct_bytes()[:1900]), CorruptError, "ends before its pixel"),
    "pixels cut": (lambda d: written(d / "x.dcm", ct_bytes()[:-10]), CorruptError, "truncated"),
    "packaged": (lambda d: packaged("MR_truncated.dcm"), CorruptError, "truncated"),
    "rle short": (rle_short, CorruptError, "RLE Lossless pixels that do not decode"),
    "deflate bomb": (deflate_bomb, CorruptError, "more than its header declares"),
    "deflate cut": (truncated(lambda d: packaged_copy(d, "image_dfl.dcm"), 0.9), CorruptError, "inflated"),
    "deep nesting": (deep_nesting, CorruptError, "nests its sequences"),
    "huge matrix": (huge_matrix, CorruptError, "truncated"),
    "huge j2k": (huge_compressed, CorruptError, "JPEG 2000"),
    "codestream size": (wrong_codestream_size, CorruptError, "do not decode"),
    "missing frames": (too_few_frames, CorruptError, "frames|decode"),
    "one bit": (lambda d: packaged("liver_1frame.dcm"), NotAnImageError, "segmentation"),
    "nifti cut": (truncated(noisy_nifti, 0.7), CorruptError, "truncated"),
    "nifti header cut": (truncated(noisy_nifti, 0.02), NotAnImageError, "is not a DICOM"),
    "nifti dims": (nifti_dims(3, 32767, 32767, 32767), CorruptError, "truncated"),
    "nifti negative": (nifti_dims(3, -5, 2, 2), CorruptError, "size of -5"),
    "nifti empty": (nifti_dims(3, 2, 0, 2), CorruptError, "size of 0"),
    "nifti 9-D": (nifti_dims(9, 2, 2, 2), CorruptError, "voxels at byte 0"),
    "nifti 5-D": (nifti_dims(5, 2, 1, 1, 1, 2), UnsupportedError, "5 dimensions"),
    "nifti complex": (nifti_type(32), UnsupportedError, "complex64"),
    "nifti rgb": (nifti_type(128), UnsupportedError, "colour"),
    "nifti type": (nifti_type(999), CorruptError, "unknown data type 999"),
    "nifti pair": (
        lambda d: written(d / "x.hdr", nifti_bytes(magic=(344, b"ni1\0"))),
        UnsupportedError,
        "hdr/.img pair",
    ),
    "png cut": (truncated(noisy_png, 0.6), CorruptError, "truncated"),
    "png bit": (flipped_bit, CorruptError, "checksum"),
    "png bomb": (png_bomb, InputError, "memory"),
    "png animated": (animation, UnsupportedError, "animation"),
    "png 1 bit": (lambda d: png(d / "x.png", np.eye(9) > 0), UnsupportedError, "1-bit"),
    "tiff cut": (truncated(noisy_tiff, 0.5), CorruptError, "TIFF|decode"),
    "tiff sizes": (lambda d: two_sizes(d), UnsupportedError, "different sizes"),
    "tiff palette": (lambda d: palette_tiff(d), UnsupportedError, "PALETTE"),
}


def packaged_copy(folder: Path, name: str) -> Path:
    return written(folder / name, packaged(name).read_bytes())


def two_sizes(folder: Path) -> Path:
    tiff(folder / "s.tif", np.zeros((8, 9), np.uint8))
    return tiff(folder / "s.tif", np.zeros((9, 9), np.uint8), append=True)


def palette_tiff(folder: Path) -> Path:
    colours = np.zeros((3, 256), np.uint16)
    return tiff(folder / "p.tif", np.zeros((8, 9), np.uint8), photometric="palette", colormap=colours)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_in_one_sentence_that_names_the_file(name: str, tmp_path: Path) -> None:
    fault, kind, words = FAULTS[name]
    path = fault(tmp_path)
    with pytest.raises(kind, match=words) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 500 + len(str(path))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_a_folder_leaves_the_image_beside_it(name: str, tmp_path: Path) -> None:
    fault, _, _ = FAULTS[name]
    (tmp_path / "in").mkdir()
    path = fault(tmp_path / "in")
    good = save(ct_slice(7, SeriesInstanceUID="1.2.77"), tmp_path / "in" / "good.dcm")
    found = discover([tmp_path / "in"])
    assert (good,) in [item.files for item in found.items]
    assert len(found.items) <= 2 and path not in [item.path for item in found.items if item.path == good]


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    path = deflate_bomb(tmp_path)
    code = (
        "import resource, sys; from pathlib import Path; from meddenoise.io import discover;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "assert discover([Path(sys.argv[1])]).failed;"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    grown = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert int(grown.stdout) < 400 << 10


def test_an_overlong_rle_segment_is_no_panic(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (series,) = read(rle_overrun(tmp_path))
    assert not series.pixels.any()
    assert capfd.readouterr().err == ""


def test_reading_a_series_takes_about_one_copy_of_it(tmp_path: Path) -> None:
    pixels = RNG(0).integers(0, 4000, (60, 512, 512), np.int16)
    for number, plane in enumerate(pixels):
        changes = {"Rows": 512, "Columns": 512, "PixelData": plane.tobytes()}
        save(ct_slice(number, **changes), tmp_path / f"{number}.dcm")
    code = (
        "import resource, sys; from pathlib import Path; from meddenoise.io import discover, read_item;"
        "item = discover([Path(sys.argv[1])]).items[0]; import meddenoise.io.dicom.read;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; series = read_item(item);"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / series.pixels.nbytes)"
    )
    grown = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert float(grown.stdout) < 1.4


def test_reading_leaves_no_file_open(tmp_path: Path) -> None:
    for number in range(30):
        save(ct_slice(number), tmp_path / f"{number}.dcm")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, open_files() + 12), hard))
    try:
        assert len(read(tmp_path)[0]) == 30
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_files() -> int:
    return max(int(entry.name) for entry in Path("/proc/self/fd").iterdir()) + 1


def test_private_sequences_and_odd_names_survive(tmp_path: Path) -> None:
    inner = Dataset()
    inner.add_new(0x00091001, "UN", b"\x01\x02\x03")
    dataset = ct_slice(PatientName="../../Ł^Ó=山田^太郎", SeriesDescription="a/../b\\c")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.add_new(0x00090010, "LO", "ODD")
    dataset.add_new(0x00091010, "SQ", Sequence([inner]))
    (series,) = read(save(dataset, tmp_path / "a.dcm"))
    assert series.name == "a/../b\\c"


def test_gzip_without_the_name_and_the_name_without_gzip(tmp_path: Path) -> None:
    data = nifti_bytes()
    for path in (written(tmp_path / "a.nii.gz", data), written(tmp_path / "b.nii", gzip.compress(data))):
        assert read(path)[0].pixels.tolist() == np.ones((2, 2, 2)).tolist()


def test_bytes_after_the_gzip_are_a_warning(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii.gz", gzip.compress(nifti_bytes()) + b"garbage")
    assert "not gzip" in read(path)[0].warnings[0]
