"""Accuracy of the guessed modality of files that state none: `python benchmarks/modality.py DATA`.

All NIfTI, PNG and TIFF files below the folders of FOLDERS, which say what they hold. One table on stdout.
"""

import sys
from collections import Counter
from pathlib import Path

from meddenoise.io import discover, read_item
from meddenoise.io.modality import likely_modality

FOLDERS = {"ct": "CT", "mr": "MR", "xray": "DX", "fluoro": "XA", "natural": "photograph"}


def main(data: Path) -> None:
    """Print one row a kind of image: how many were taken for what."""
    print("| images | taken for |\n|---|---|")
    for folder, truth in FOLDERS.items():
        items = [item for item in discover([data / folder]).items if item.format != "dicom"]
        taken = Counter(likely_modality(read_item(item)) or "unknown" for item in items)
        counts = ", ".join(f"{code} {count}" for code, count in taken.most_common())
        print(f"| {truth} ({len(items)}) | {counts} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
