"""Join results of `selfsupervised.py --json` into one document.

python papers/diffdenoise/selfsupervised_document.py docs/selfsupervised.md CT.json MR.json ...

Files of one modality and setting are joined, so that methods may be run one after another; where a method
stands in several of them, trained for as long, the last counts.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository, from anywhere

from benchmarks.markdown import page, table
from benchmarks.script import Document, write_document

SETTING = ("modality", "sigma", "kernel", "images", "others", "size", "seed")
ABOUT = """\
# A folder of noisy images: `meddenoise train --method diffdenoise` against its peers

Every method that trains sees the noisy images alone, for the same minutes, on one thread. "own": these
images, denoised; "others": images of other patients with noise of the same kind. PSNR in dB over 255 / SSIM.
Noise2Void is that of CAREamics; Neighbor2Neighbor trains the network of our student. `direct` is the
supervised control, `true` methods are given the level of the noise, `auto` ones our estimate of each image's.
The minutes of `diffdenoise` are those of the whole command with reading and all stages."""


def main() -> None:
    """Write the document and say where it is."""
    write_document("One document from several runs of selfsupervised.py.", compose)


def compose(documents: list[Document]) -> str:
    """A section for each modality and noise, the runs of several calls joined."""
    joined: dict[tuple[str, ...], list[Document]] = {}
    for document in documents:
        joined.setdefault(tuple(document["settings"][name] for name in SETTING), []).append(document)
    parts = [ABOUT, *(_section(setting, found) for setting, found in joined.items())]
    return page(parts)


def _section(setting: tuple[str, ...], documents: list[Document]) -> str:
    named = dict(zip(SETTING, setting, strict=True))
    noise = f"sigma {float(named['sigma']):g}"
    noise += f", kernel {float(named['kernel']):g} px" if float(named["kernel"]) else ", white"
    count = f"{named['images']} images of {named['size']} x {named['size']}, {named['others']} others"
    counts = {_key(document, name): document for document in documents for name in document["means"]}
    commands = [_command(document) for document in documents if document in counts.values()]
    rows = [_row(document, name) for (name, _), document in counts.items()]
    measured = table(["method", "minutes", "steps", "own", "others"], rows)
    return page([f"## {named['modality']}, {noise}; {count}", "\n".join(commands), measured])


def _key(document: Document, name: str) -> tuple[str, str]:
    """A row: a method, and how long it was trained."""
    return name, "" if _minutes(document, name) is None else document["settings"]["minutes"]


def _minutes(document: Document, name: str) -> float | None:
    minutes: float | None = document["training"].get(name, {}).get("minutes")
    return minutes


def _command(document: Document) -> str:
    settings = document["settings"]
    # The list of methods is kept as Python writes it.
    names = ",".join(name.strip(" []'") for name in settings["methods"].split(","))
    flags = "".join(
        f" --{key} {settings[key]}" for key in ("modality", "sigma", "kernel", "images", "minutes")
    )
    versions = ", ".join(f"{name} {said}" for name, said in document["versions"].items() if said)
    command = f"python papers/diffdenoise/selfsupervised.py DATA{flags} --methods {names}"
    return f"* `{command}`, {document['date'][:10]} ({versions})"


def _row(document: Document, name: str) -> list[str]:
    trained, took = document["training"].get(name, {}), _minutes(document, name)
    minutes = "" if took is None else f"{took:.1f}"
    steps = "" if trained.get("steps") is None else str(trained["steps"])
    cells = [f"{mean['psnr']:.2f} / {mean['ssim']:.3f}" for mean in document["means"][name].values()]
    return [name, minutes, steps, *cells]


if __name__ == "__main__":
    main()
