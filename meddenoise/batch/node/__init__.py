"""A DICOM node: receives series, denoises them by rules and sends the results on.

Everything a node holds is in folders of its spool (`spool`), moved on by atomic renames: a process that is
killed at any moment goes on where it was. `settings` and `rules` read the TOML file, `receive` takes images
by C-STORE behind the limits of `guard`, `work` denoises one series after another, `send` delivers results
by C-STORE (`cstore`) or DICOMweb (`stow`), `service` ties them together. `watch` does the same for a folder.
"""

from importlib.util import find_spec

from meddenoise.errors import UsageError


def require_extra(*modules: str) -> None:
    """Raises UsageError where a module of the extra `node` is not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UsageError(
            f"`meddenoise serve` needs {' and '.join(missing)}: install with pip install 'meddenoise[node]'."
        )
