"""Which results belong together: each folder is a set of its own, and so is each of several files."""

from collections.abc import Sequence
from pathlib import Path

from meddenoise.io import Item, discover


def result_sets(
    results: Sequence[Path], partners: Sequence[Item] | None
) -> tuple[list[tuple[str, list[Item]]], list[tuple[Path, str]]]:
    """Name and series of each set of results, and the files that are damaged.

    Raises NothingReadableError where one holds no image.
    """
    folders = [path for path in results if path.is_dir()]
    files = [path for path in results if path not in folders]
    sets: list[tuple[str, list[Item]]] = []
    failed: list[tuple[Path, str]] = []
    for group in ([files] if files else []) + [[folder] for folder in dict.fromkeys(folders)]:
        items, problems = items_under(group)
        failed += problems
        if group is files and partners is not None and len(items) > len(partners):
            sets += [(str(item.path), [item]) for item in items]
        else:
            sets.append((str(group[0]) if len(group) == 1 else f"{len(group)} files", items))
    order = {str(path): place for place, path in enumerate(results)}
    return sorted(sets, key=lambda named: order.get(named[0], -1)), failed


def items_under(paths: Sequence[Path]) -> tuple[list[Item], list[tuple[Path, str]]]:
    """The series under the paths, and the files that are damaged.

    Raises NothingReadableError where there is no image.
    """
    found = discover(paths)
    if not found.items:
        raise found.nothing_readable(paths)
    return list(found.items), [(problem.path, str(problem.error)) for problem in found.failed]
