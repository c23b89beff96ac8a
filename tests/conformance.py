"""New errors of dciodvfy: those of a derived object that its source does not have.

    python tests/conformance.py FOLDER

writes a derived object for every DICOM image under FOLDER and prints the new errors by kind; exit 1 with any.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from meddenoise.errors import MeddenoiseError
from meddenoise.io import Item, discover, read_item, write
from meddenoise.series import Derivation, Series

DCIODVFY = shutil.which("dciodvfy")
DONE = Derivation("nlm", "Noise reduced by meddenoise, method nlm, noise level 3", '{"strength": 1}')

# Paths to items and values say where, not what.
_WHERE = re.compile(r"</[^>]*>|\[\d+\]|<[^<>]*>$|\d+")


def errors_of(path: Path, *options: str) -> Counter[str]:
    """The errors of a file, by kind; `options` of dciodvfy."""
    assert DCIODVFY is not None
    done = subprocess.run([DCIODVFY, *options, str(path)], capture_output=True, text=True, errors="replace")
    lines = (done.stdout + done.stderr).splitlines()
    return Counter(_WHERE.sub("", line).strip() for line in lines if line.startswith("Error"))


def new_errors(item: Item, done: Derivation = DONE) -> Counter[str]:
    """Errors of the objects derived from an item that none of its files has."""
    series = read_item(item)
    with tempfile.TemporaryDirectory() as folder:
        targets = write(derived(series, done), Path(folder) / "out", root=item.root)
        found = sum((errors_of(target) for target in targets), Counter[str]())
        known = set().union(*(errors_of(readable(file, Path(folder))) for file in item.files))
    return Counter({error: count for error, count in found.items() if error not in known})


def readable(file: Path, folder: Path) -> Path:
    """The file, or an inflated copy in `folder` of a deflated one, which dciodvfy does not read."""
    dataset = dcmread(file, force=True)
    if dataset.file_meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return file
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(folder / "inflated.dcm")
    return folder / "inflated.dcm"


def derived(series: Series, done: Derivation) -> Series:
    """The series with its own pixels, as a result is written."""
    return series.with_pixels(series.pixels, done)


def main(folder: Path) -> int:
    kinds: Counter[str] = Counter()
    first: dict[str, Path] = {}
    items = [item for item in discover([folder]).items if item.format == "dicom"]
    for item in items:
        try:
            found = new_errors(item)
        except MeddenoiseError as error:
            print(f"not read: {error}")  # noqa: T201
            continue
        kinds += found
        for error in found:
            first.setdefault(error, item.path)
    lines = [f"{count:5} {error}\n      first: {first[error]}" for error, count in kinds.most_common()]
    files = sum(len(item.files) for item in items)
    lines.append(f"{len(items)} series, {files} files, {len(kinds)} kinds of new errors")
    print(*lines, sep="\n")  # noqa: T201
    return min(len(kinds), 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
