"""Overlays hidden in the unused high bits of pixel words (retired, PS3.5 8.1.2), moved to Overlay Data."""

from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataelem import DataElement

from meddenoise.io.dicom.header import Header, open_stream
from meddenoise.io.dicom.pixels import PixelFormat

_BITS_ALLOCATED, _BIT_POSITION, _DATA = 0x0100, 0x0102, 0x3000


def free_overlays(header: Header, form: PixelFormat, path: Path) -> Dataset:
    """The file's data set with every overlay in elements of its own, since new pixels leave no spare bits."""
    dataset = header.dataset
    groups = [group for group in range(0x6000, 0x6020, 2) if _is_hidden(dataset, group)]
    if not groups or header.syntax.is_encapsulated or form.samples != 1:
        return dataset
    word = np.dtype(f"{'<' if header.syntax.is_little_endian else '>'}u{form.bits_allocated // 8}")
    found = {group: bytearray() for group in groups}
    with open_stream(path) as stream:
        stream.seek(header.pixel_offset)
        # eight frames at a time: their bits fill whole bytes
        for start in range(0, form.frames, 8):
            words = np.frombuffer(stream.read(min(8, form.frames - start) * form.frame_bytes), word)
            for group, bits in found.items():
                position = int(dataset[group, _BIT_POSITION].value)
                bits += np.packbits((words >> position) & 1 != 0, bitorder="little").tobytes()
    for group, bits in found.items():
        dataset[group, _DATA] = DataElement((group, _DATA), "OW", bytes(bits) + b"\0" * (len(bits) % 2))
        dataset[group, _BITS_ALLOCATED].value = 1
        dataset[group, _BIT_POSITION].value = 0
    return dataset


def _is_hidden(dataset: Dataset, group: int) -> bool:
    there = (group, _BIT_POSITION) in dataset and (group, _BITS_ALLOCATED) in dataset
    return there and (group, _DATA) not in dataset
