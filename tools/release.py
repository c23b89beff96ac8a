"""Is this checkout fit to be released? Builds sdist and wheel, looks into both, installs the wheel alone.

    python tools/release.py --check [-o dist/]

Needs `build` and `hatchling`, and no network. Exit 1 with one line for each thing that is wrong.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST_WHEEL = 100 * 10**6
"""Bytes that the public index takes for a file."""
FIELDS = (
    "Name",
    "Version",
    "Summary",
    "Author",
    "License-Expression",
    "Requires-Python",
    "Keywords",
    "Classifier",
)
KINDS = ("Intended Audience", "Operating System", "Programming Language :: Python :: 3.", "Topic")
"""Beginnings of classifiers by which an index lets people find a package."""
NEEDED = (
    "weights_manifest.toml",
    "py.typed",
    "report/page/page.css",
    "report/page/page.js",
    "report/page/page.html",
)
"""Files of the wheel, below the package, that no import would miss."""


def main() -> int:
    """Check, tell, and leave the files where `-o` says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", required=True)
    parser.add_argument("-o", "--output", type=Path, help="keep sdist and wheel in this folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel, sdist = build(Path(folder))
        wrong = [*check_versions(), *check_wheel(wheel), *check_sdist(sdist), *check_install(wheel)]
        for line in wrong:
            print(f"wrong: {line}", file=sys.stderr)
        for file in (wheel, sdist):
            print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")
        if arguments.output is not None and not wrong:
            arguments.output.mkdir(parents=True, exist_ok=True)
            for file in (wheel, sdist):
                shutil.copy(file, arguments.output)
    return 1 if wrong else 0


def build(folder: Path) -> tuple[Path, Path]:
    """The wheel and the sdist of this checkout."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def check_versions(root: Path = ROOT) -> Iterator[str]:
    """Sentences on versions that differ between the files that state one."""
    stated = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    code = (root / "meddenoise" / "version.py").read_text(encoding="utf-8")
    if f'"{stated}"' not in code:
        yield f"pyproject.toml says {stated}, meddenoise/version.py does not"
    if f"version: {stated}" not in (root / "CITATION.cff").read_text(encoding="utf-8").replace('"', ""):
        yield f"pyproject.toml says {stated}, CITATION.cff does not"
    if "## [Unreleased]" not in (root / "CHANGELOG.md").read_text(encoding="utf-8"):
        yield "CHANGELOG.md has no section Unreleased"


def check_wheel(wheel: Path) -> Iterator[str]:
    """Sentences on size, metadata and files of a wheel."""
    if wheel.stat().st_size > LARGEST_WHEEL:
        yield f"{wheel.name} has {wheel.stat().st_size / 1e6:.0f} MB, more than {LARGEST_WHEEL / 1e6:.0f}"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        fields = HeaderParser().parsestr(archive.read(metadata).decode())
    yield from (f"the metadata state no {field}" for field in FIELDS if not fields.get(field))
    classifiers = fields.get_all("Classifier", [])
    yield from (
        f"no classifier begins with {kind}"
        for kind in KINDS
        if not any(line.startswith(kind) for line in classifiers)
    )
    if not str(fields.get_payload()).strip():
        yield "the metadata have no description"
    shipped = ROOT / "meddenoise"
    bundled = [
        path.relative_to(shipped).as_posix()
        for kind in ("checkpoints", "recipes")
        for path in (shipped / kind).iterdir()
    ]
    missing = [name for name in (*NEEDED, *bundled) if f"meddenoise/{name}" not in names]
    yield from (f"{wheel.name} lacks {name}" for name in missing)
    yield from (f"{wheel.name} holds {name}" for name in names if not name.startswith("meddenoise"))


def check_sdist(sdist: Path) -> Iterator[str]:
    """Sentences on what an sdist lacks to build, to be read and to be tested."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "weights_manifest.toml",
        "tests/run.sh",
    )
    yield from (f"{sdist.name} lacks {name}" for name in needed if name not in names)


def check_install(wheel: Path) -> Iterator[str]:
    """A sentence where the wheel does not install into an empty environment, or is another version there."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        scripts = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin")
        install = [scripts / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
        done = subprocess.run(list(map(str, install)), capture_output=True, text=True)
        if done.returncode:
            yield f"{wheel.name} does not install: {done.stderr.strip().splitlines()[-1:]}"
            return
        code = "import meddenoise; print(meddenoise.__version__)"
        told = subprocess.run(
            [str(scripts / "python"), "-I", "-c", code], capture_output=True, text=True, cwd=folder
        ).stdout.strip()
        if told != wheel.name.split("-")[1]:
            yield f"{wheel.name} says that it is {told or 'nothing'}"
        if not any(scripts.glob("meddenoise*")):
            yield f"{wheel.name} installs no program"


if __name__ == "__main__":
    sys.exit(main())
