"""TIFF, single or stack: integers and floats, grey and RGB; tags that describe the picture are kept."""

import logging
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from meddenoise.errors import CorruptError, InputError, UnsupportedError, first_line
from meddenoise.io import Entry, Item, one_each
from meddenoise.io.atomic import staged
from meddenoise.io.limits import allocate
from meddenoise.io.own import is_result
from meddenoise.io.raster import join_alpha, series_of, split_alpha
from meddenoise.series import Series

SUFFIX = ".tif"

# tifffile logs what it passes over; what matters here is an error of ours
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PHOTOMETRICS = {"MINISBLACK", "MINISWHITE", "RGB"}
_SOFTWARE, _ICC = "Software", "InterColorProfile"
# Layouts of microscopes and ImageJ live in the description, so it stays as it is.
_TEXTS = ("DocumentName", "Make", "Model", "Artist", "HostComputer", "Copyright", "DateTime")
_NAMING = ("DocumentName", "Make", "Model")
MOST_TEXT = 4096
"""Characters of text that are looked through for a modality."""


@dataclass(frozen=True, slots=True)
class KeptTiff:
    """The parts of a TIFF besides its colours that are written again."""

    alpha: tuple[NDArray[Any] | None, ...]
    options: dict[str, Any]
    """Arguments of `TiffWriter.write` that say how the source is written."""
    big: bool
    order: Any


def sniff(path: Path) -> bool:
    """True for a TIFF or BigTIFF magic (DICOM files may bear one too: those are sniffed first)."""
    with path.open("rb") as stream:
        return stream.read(4) in _MAGICS


def scan(path: Path) -> Entry:
    """The entry of one TIFF. Raises CorruptError or UnsupportedError."""
    with _opened(path) as file:
        _check_pages(file, path)
        first: Any = file.pages[0]
        return Entry(path, len(file.pages), result=is_result(str(first.software)))


group = one_each


def read(item: Item) -> Series:
    """All pages: planes in page order, three for a colour page. Raises InputError."""
    path = item.files[0]
    with _opened(path) as file:
        _check_pages(file, path)
        first: Any = file.pages[0]
        count = len(file.pages)
        channels = 1 if first.samplesperpixel in (1, 2) else 3
        dtype = np.dtype(first.dtype).newbyteorder("=")
        shape = (first.imagelength, first.imagewidth)
        pixels = allocate((count * channels, *shape), dtype, path)
        alphas = []
        for number in range(count):
            colours, alpha = split_alpha(_page(file, number, path))
            if colours.shape != (channels, *shape) or colours.dtype != dtype:
                raise CorruptError(f"{path} has a page {number + 1} unlike its header: save it again.")
            pixels[number * channels : (number + 1) * channels] = colours
            alphas.append(alpha)
        kept = KeptTiff(tuple(alphas), _options(first, path), file.is_bigtiff, file.byteorder)
    bad = int((~np.isfinite(pixels)).sum()) if dtype.kind == "f" else 0
    told = (f"{bad} pixels are NaN or infinite: they stay as they are",) if bad else ()
    inverted = first.photometric.name == "MINISWHITE"
    series = series_of(item, pixels, channels, kept, told, _hint(first))
    return replace(series, inverted=inverted)


def write(series: Series, targets: Sequence[Path]) -> None:
    """Write one file of all pages. Raises OutputError."""
    (target,) = targets
    if series.format == "tiff" and isinstance(series.header, KeptTiff):
        kept = series.header
    else:
        photometric = "rgb" if series.channels == 3 else "miniswhite" if series.inverted else "minisblack"
        options: dict[str, Any] = {"photometric": photometric, "compression": "zlib"}
        kept = KeptTiff((None,), options, series.pixels.nbytes > 2**31, "<")
    done = series.derivation
    software = f"meddenoise: {done.description}" if done is not None else None
    with (
        staged(targets) as staging,
        staging.file(target) as stream,
        tifffile.TiffWriter(stream, bigtiff=kept.big, byteorder=kept.order) as file,
    ):
        # all pages at once: some descriptions promise that they lie one behind the other
        options = _finer(kept.options, series.finer)
        file.write(_pages(series, kept.alpha), metadata=None, software=software, **options)


def _finer(options: dict[str, Any], finer: tuple[float, float]) -> dict[str, Any]:
    """The options for a finer grid: more pixels an inch or centimetre."""
    if "resolution" not in options or finer == (1.0, 1.0):
        return options
    (across, per), (down, each) = options["resolution"]
    return {**options, "resolution": (across / per * finer[1], down / each * finer[0])}


def _pages(series: Series, alphas: tuple[NDArray[Any] | None, ...]) -> NDArray[Any]:
    """[N, Y, X], or [N, Y, X, C] with colours and alpha."""
    if series.channels == 1 and alphas[0] is None:
        return series.pixels
    starts = range(0, len(series), series.channels)
    return np.stack(
        [
            join_alpha(series.pixels[start : start + series.channels], alphas[number % len(alphas)])
            for number, start in enumerate(starts)
        ]
    )


def _opened(path: Path) -> tifffile.TiffFile:
    try:
        return tifffile.TiffFile(path)
    except (tifffile.TiffFileError, ValueError, struct.error, IndexError, KeyError, TypeError) as error:
        raise CorruptError(
            f"{path} has a damaged TIFF header ({first_line(error)}): save it again."
        ) from error


def _check_pages(file: tifffile.TiffFile, path: Path) -> None:
    """Raises where the pages are not alike or of a kind that is not read."""
    _check_chain(file, path)
    try:
        pages: list[Any] = list(file.pages)
        layouts = {(p.imagelength, p.imagewidth, p.samplesperpixel, str(p.dtype)) for p in pages}
        kinds = {getattr(page.photometric, "name", str(page.photometric)) for page in pages}
    except Exception as error:
        raise CorruptError(f"{path} has a damaged TIFF page ({first_line(error)}): save it again.") from error
    if not pages or min(pages[0].imagelength, pages[0].imagewidth) < 1:
        raise CorruptError(f"{path} has no pixels: save it again.")
    if len(layouts) > 1:
        raise UnsupportedError(f"{path} has pages of different sizes: split it into single images.")
    if not kinds <= _PHOTOMETRICS:
        other = ", ".join(sorted(kinds - _PHOTOMETRICS))
        raise UnsupportedError(f"{path} stores {other} colours; grey and RGB are read: convert it first.")
    page = pages[0]
    dtype = page.dtype
    if dtype is None or dtype.kind not in "iuf" or page.bitspersample not in (8, 16, 32, 64):
        raise UnsupportedError(
            f"{path} holds {page.bitspersample}-bit pixels; 8 to 64 bits are read: convert it first."
        )
    if page.samplesperpixel not in (1, 2, 3, 4) or page.imagedepth != 1:
        raise UnsupportedError(f"{path} has {page.samplesperpixel} samples a pixel: split its channels.")


def _check_chain(file: tifffile.TiffFile, path: Path) -> None:
    """Raises where the chain of pages leaves the file, at which tifffile would stop without a word."""
    form: Any = file.tiff
    width, number_width = struct.calcsize(form.offsetformat), struct.calcsize(form.tagnoformat)
    seen: set[int] = set()
    with path.open("rb") as stream:
        stream.seek(8 if file.is_bigtiff else 4)
        while True:
            (offset,) = struct.unpack(form.offsetformat, stream.read(width).ljust(width, b"\xff"))
            if offset == 0:
                return
            stream.seek(min(offset, 1 << 62))
            count = stream.read(number_width)
            if offset in seen or len(count) < number_width:
                raise CorruptError(f"{path} is truncated, its chain of TIFF pages is broken: copy it again.")
            seen.add(offset)
            stream.seek(struct.unpack(form.tagnoformat, count)[0] * form.tagsize, 1)


def _page(file: tifffile.TiffFile, number: int, path: Path) -> NDArray[Any]:
    page: Any = file.pages[number]
    try:
        try:
            frame = page.asarray()
        except ValueError:
            # tifffile needs imagecodecs for LZW and JPEG; Pillow brings libtiff
            with Image.open(path) as image:
                image.seek(number)
                frame = np.asarray(image)
    except Exception as error:
        raise _undecodable(path, number, error) from error
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and frame.ndim == 3:
        frame = np.moveaxis(frame, 0, -1)
    return np.asarray(frame)


def _undecodable(path: Path, number: int, error: Exception) -> InputError:
    return CorruptError(
        f"{path} has a page {number + 1} that does not decode ({first_line(error)}): save it again."
    )


def _options(page: Any, path: Path) -> dict[str, Any]:
    """Arguments of `TiffWriter.write` that write as the source was. Raises CorruptError."""
    try:
        return _read_options(page)
    except (TypeError, ValueError, AttributeError) as error:
        raise CorruptError(f"{path} has a damaged TIFF tag ({first_line(error)}): save it again.") from error


def _read_options(page: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"photometric": page.photometric.name.lower()}
    if int(page.compression) != tifffile.COMPRESSION.NONE:
        # lossless, and written without further libraries whatever the source used
        options["compression"] = "zlib"
    if page.samplesperpixel > 1:
        options["planarconfig"] = "contig"
    if page.extrasamples:
        options["extrasamples"] = [sample.name.lower() for sample in page.extrasamples]
    if page.description:
        options["description"] = _encoded(page.description)
    tags = page.tags
    scale = [tags[name].value for name in ("XResolution", "YResolution") if name in tags]
    unit = page.resolutionunit
    if [_is_fraction(value) for value in scale] == [True, True] and unit in tuple(tifffile.RESUNIT):
        options |= {"resolution": tuple(scale), "resolutionunit": int(unit)}
    if _ICC in tags:
        options["iccprofile"] = tags[_ICC].value
    found = {tags[name].code: tags[name].value for name in _TEXTS if name in tags}
    texts = [(code, "s", None, _encoded(text), True) for code, text in found.items() if isinstance(text, str)]
    if texts:
        options["extratags"] = texts
    return options


def _hint(page: Any) -> str:
    """Description, name and device of the picture."""
    texts = [page.description, *(page.tags[name].value for name in _NAMING if name in page.tags)]
    return "; ".join(text for text in texts if isinstance(text, str))[:MOST_TEXT]


def _encoded(text: str) -> bytes:
    """Text of a tag: ASCII by the TIFF standard, UTF-8 in the files of many programs."""
    return text.encode(errors="replace")


def _is_fraction(value: Any) -> bool:
    """True for a numerator and a denominator that make a number."""
    whole = isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, int) for part in value)
    return whole and value[1] != 0
