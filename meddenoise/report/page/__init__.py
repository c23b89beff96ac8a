"""The parts of the HTML report: one file that needs no other and asks no network for anything.

`drawing` makes the pictures and plots of one series while its pixels are at hand, `sections` and `compose`
the page around them from the rows of the report, and `gallery` keeps the pictures, those of an earlier run
too. `page.css` and `page.js` go into the file as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meddenoise.trust import Trust


@dataclass(frozen=True, slots=True)
class Drawing:
    """Pictures and plots of one series as HTML, and who is on them: only if the user asked for it."""

    body: str
    who: str = ""


@dataclass(frozen=True, slots=True)
class Levels:
    """Noise before and after, and what was removed, on the same flat places; None where not measured.

    `used` is the level that the method was given, for where there is no flat place, and `source` of whom.
    """

    before: float | None = None
    after: float | None = None
    removed: float | None = None
    unit: str = ""
    used: float | None = None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageEntry:
    """One series as the page tells of it: plain text throughout, escaped when it is put into the page."""

    key: str
    """Tells this result from all others; its drawing has the same."""
    title: str
    short: str = ""
    """The title where there is little room; empty for the file name in the title."""
    facts: tuple[tuple[str, str], ...]
    """Label and value, of how it was made."""
    about: tuple[str, ...]
    """Modality, size, method: the line under the title."""
    noise: Levels
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    metrics_before: Mapping[str, float | None] = field(default_factory=dict)
    """Of the noisy image against the same reference."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Of the metrics that have one."""
    warnings: tuple[str, ...] = ()
    trust: Trust | None = None
    by_plane: Sequence[Sequence[float | None]] = ()
    """Noise (before, after) of every plane; None where it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that one page holds."""

    title: str
    facts: tuple[tuple[str, str], ...]
    """Label and value, of the whole run."""
    entries: Sequence[PageEntry]
    failed: tuple[tuple[str, str], ...] = ()
    """Input and the sentence why."""
    drawings: Mapping[str, Drawing] = field(default_factory=dict)
    table: str = ""
    """File name of the same numbers as a table."""
    lead: str = ""
    """HTML about all entries together, before their own table."""
