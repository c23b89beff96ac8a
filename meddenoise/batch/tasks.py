"""Places of the results of all series: names, collisions, and the fingerprint of a finished one."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from meddenoise.errors import OutputError, UsageError
from meddenoise.io import WRITTEN_AS, Item, get_format, output_paths, written_format
from meddenoise.io.archive import archive_of, origin
from meddenoise.io.layout import attached, meant_format, stem
from meddenoise.io.own import MARKS
from meddenoise.pipeline.options import Options
from meddenoise.report import REPORT
from meddenoise.version import __version__


@dataclass(frozen=True, slots=True)
class Task:
    """One series and where it goes: `output` and `root` for `io.write`, all its `targets`, its report.

    `refused` is why it cannot be written, None where it can.
    """

    item: Item
    output: Path
    root: Path | None
    targets: tuple[Path, ...]
    report: Path
    refused: OutputError | None = None


def plan_tasks(
    items: Sequence[Item],
    inputs: Sequence[Path],
    output: Path | None,
    format: str = "same",
    mark: str = MARKS["denoise"],
) -> list[Task]:
    """A task for every item, none of which writes over an input or the result of another.

    Without `output`, NAME and `mark` (`_denoised`) beside a file, and beside a folder. `output` is the
    file itself for a single result if it has the suffix of an image, else a folder; there the layout of an
    input folder is mirrored, below the folder's own name where there are several inputs. Items that lie in
    an output folder inside an input folder are results of earlier runs and get no task.

    Raises UsageError where the output is one of the input folders, or the name of an image of another format
    or for more than one.
    """
    folders = {path for path in inputs if os.path.isdir(path)}  # noqa: PTH112 (is_dir raises for long names)
    for folder in folders:
        if output is not None and output.resolve() == folder.resolve():
            raise UsageError(f"the output {output} is the input folder: give another --output.")
    fresh = [item for item in items if not (item.root in folders and _is_earlier_result(item, output))]
    if output is not None and _is_file_name(output):
        _check_file_name(fresh, output, format)
    sources = {file.resolve() for item in fresh for file in item.files}
    taken: dict[Path, Item] = {}
    tasks = []
    for item in fresh:
        place = (
            _default_place(item, folders, format, mark)
            if output is None
            else _place(item, inputs, output, format)
        )
        tasks.append(_check(item, place, format, sources, taken))
    return tasks


def fingerprint(task: Task, options: Options, *extras: str) -> str:
    """PLACE-CONTENT: digests of the targets, and of sources (name, size, time) and all that makes pixels."""
    settings = asdict(options)
    del settings["device"]
    files = list(task.item.files)
    if options.weights is not None and Path(options.weights).is_file():
        files.append(Path(options.weights))
    states = [(str(origin(file.resolve()).absolute()), file.stat()) for file in files]
    stamps = [(name, state.st_size, state.st_mtime_ns) for name, state in states]
    place = _digest([str(target.resolve()) for target in task.targets])
    return f"{place}-{_digest([__version__, settings, extras, stamps])}"


def stamp(path: Path | None) -> tuple[str, ...]:
    """Stamp of a file that every series is processed with, to see it change; nothing for None."""
    if path is None:
        return ()
    status = path.stat() if path.exists() else None
    return (str(path.resolve()), *((str(status.st_size), str(status.st_mtime_ns)) if status else ()))


def refuse_existing(targets: Sequence[Path]) -> None:
    """Raises OutputError where a target exists."""
    existing = next((target for target in targets if target.exists()), None)
    if existing is not None:
        raise OutputError(
            f"{existing} exists already and is not the finished result of this input with these settings: "
            "give --overwrite, or another --output."
        )


def map_path(task: Task, kind: str) -> Path:
    """Path of a map ("residual", "uncertainty"): next to a single result; for folders in its own one."""
    first = task.targets[0]
    name = f"{stem(first)}_{kind}.nii"
    if first == task.output:
        return first.with_name(name)
    folder = task.output.with_name(f"{task.output.name}_{kind}")
    return folder / first.relative_to(task.output).with_name(name)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _is_earlier_result(item: Item, output: Path | None) -> bool:
    """True for an item of an input folder that lies in an output folder inside it."""
    if output is None:
        return False
    place, root = output.resolve(), item.root.resolve()
    inside = place != root and place.is_relative_to(root)
    return inside and item.files[0].resolve().is_relative_to(place)


def _default_place(item: Item, folders: Iterable[Path], format: str, mark: str) -> tuple[Path, Path | None]:
    """Output and root of an item beside its source."""
    source, archive = item.path, archive_of(item.root)
    if archive is not None:
        return archive.with_name(archive.stem + mark), item.root
    if item.root in folders or len(item.files) > 1:
        root = item.root if item.root.name not in ("", "..") else item.root.resolve()
        if not root.name:
            raise UsageError(f"{item.root} has no folder next to it to write to: give --output.")
        return root.with_name(root.name + mark), item.root
    folder = source.with_name(stem(source) + mark)
    if len(output_paths(item, folder, format=format)) > 1 or output_paths(item, folder, format=format) != [
        folder
    ]:
        return folder, None
    written = written_format(item.format, format)
    suffix = source.name[len(stem(source)) :] if written == item.format else get_format(written).SUFFIX
    return attached(source.with_name(stem(source) + mark + suffix)), None


def _place(item: Item, inputs: Sequence[Path], output: Path, format: str) -> tuple[Path, Path | None]:
    """Output and root of an item where the user said where to."""
    if _is_file_name(output):
        return output, None
    archive = archive_of(item.root)
    if len(inputs) > 1:
        if archive is not None:
            return output / archive.stem, item.root
        named = item.root in inputs and item.root.name not in ("", "..")
        return (output / item.root.name if named else output), item.root
    return output, item.root


def _is_file_name(output: Path) -> bool:
    return stem(output) != output.name and not output.is_dir()


def _check_file_name(items: Sequence[Item], output: Path, format: str) -> None:
    """Raises UsageError where `output`, the name of one image, does not fit what the items give."""
    written = {written_format(item.format, format) for item in items}
    meant = meant_format(output)
    if meant in WRITTEN_AS:
        raise UsageError(
            f"the output {output} would be a {meant}, which loses detail: "
            f"name a folder, or a {WRITTEN_AS[meant]}."
        )
    if written - {meant}:
        raise UsageError(
            f"the output {output} has a name for {meant}, but {written.pop()} is written: "
            f"add --format {meant}, or change the name."
        )
    count = sum(len(output_paths(item, output, format=format)) for item in items)
    if count > 1:
        raise UsageError(
            f"the output {output} is the name of one image, the inputs give {count}: name a folder."
        )


def _check(
    item: Item, place: tuple[Path, Path | None], format: str, sources: set[Path], taken: dict[Path, Item]
) -> Task:
    """The task of an item; refused where a target is an input or belongs to an earlier task."""
    output, root = place
    targets = tuple(output_paths(item, output, format=format, root=root))
    refused = None
    for target in targets:
        resolved = target.resolve()
        if resolved in sources:
            refused = OutputError(f"{target} is an input, which is never overwritten: give another --output.")
        elif resolved in taken:
            refused = OutputError(
                f"{item.path} and {taken[resolved].path} would both be written to {target}: "
                "denoise them in two runs with different outputs."
            )
    if refused is None:
        taken |= dict.fromkeys((target.resolve() for target in targets), item)
    alone = targets == (output,)
    report = output.with_name(f"{stem(output)}-report.json") if alone else output / REPORT
    return Task(item, output, root, targets, report, refused)
