"""Every error a user can meet, as one tree; each class carries the exit code of the command line.

    MeddenoiseError                  1
    ├── UsageError                   2   an option or a name that does not exist or does not fit
    ├── InputError                   1   a file that cannot be used
    │   ├── NotAnImageError          1   readable, but holds no image (skipped and counted in folders)
    │   ├── CorruptError             1   damaged, truncated or contradicting itself
    │   ├── UnsupportedError         1   sound, but of a kind meddenoise does not handle
    │   └── NothingReadableError     3   none of the inputs holds an image
    ├── OutputError                  1   a result that cannot be written
    ├── ClusterError                 1   workers that cannot be reached or used
    ├── WeightsError                 1   a checkpoint that is missing, damaged or refused
    └── TrainingError                1   training data or a resume that cannot be used

Messages are one sentence for the person at the terminal: the file or option as they typed it, what is
wrong with it, and what to do next.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class MeddenoiseError(Exception):
    """Base of all errors meddenoise raises on purpose."""

    exit_code = 1


class UsageError(MeddenoiseError):
    """An option or a name that does not exist or does not fit."""

    exit_code = 2


class InputError(MeddenoiseError):
    """A file that cannot be used."""


class NotAnImageError(InputError):
    """A file that holds no image."""


class CorruptError(InputError):
    """A damaged, truncated or self-contradicting file."""


class UnsupportedError(InputError):
    """A sound file of a kind meddenoise does not handle."""


class OwnResultError(InputError):
    """A result of meddenoise in a folder of other images."""


class CopyError(InputError):
    """A file with the same object, byte for byte, as another of its folder."""


class OutsideError(InputError):
    """A link that leads out of the folder it was found in."""


class NothingReadableError(InputError):
    """None of the inputs holds an image."""

    exit_code = 3


class OutputError(MeddenoiseError):
    """A result that cannot be written."""


class ClusterError(MeddenoiseError):
    """A cluster whose scheduler or workers cannot be reached or used."""


class WeightsError(MeddenoiseError):
    """A checkpoint that is missing, damaged or refused."""


class TrainingError(MeddenoiseError):
    """Training data, a recipe or a resume that cannot be used."""


class DenoisingWarning(UserWarning):
    """Warnings of an image in memory, instead of a report: fallbacks, and any verdict but `ok`."""


NEAR = 0.6
"""Share of two names that must agree for one to be proposed for the other (difflib's own default): a
swapped letter in three is near, half a name is not."""


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """The error for a name that is not in a table: what was typed, the nearest valid name, all of them."""
    names = sorted(valid)
    near = get_close_matches(name, names, n=1, cutoff=NEAR)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UsageError(f"there is no {kind} {name!r}: {hint}valid are {', '.join(names)}.")


def first_line(error: BaseException) -> str:
    """First line of a library's error, for the middle of a sentence; its type if it has no text."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
