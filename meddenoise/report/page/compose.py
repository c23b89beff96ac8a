"""The whole page: one HTML file that holds its style, its script and its pictures, and loads nothing."""

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from meddenoise.io.atomic import write_whole
from meddenoise.report.page import Drawing, Levels, Page
from meddenoise.report.page.sections import anchor, facts, section
from meddenoise.report.page.tables import number, table, with_unit
from meddenoise.report.page.verdicts import chip

MOST_ROWS, MOST_SECTIONS = 1000, 200
"""Of series in the table on top, and in sections of their own where nothing is drawn of them."""
MOST_WARNINGS, MOST_LINKS = 20, 3
FOLDED = 4
"""Series beyond which the page begins as a summary: warnings and sections open at a click."""
_SEE_VERDICT = {
    "reject": "The checks advise against using a result as it is: see its verdict below.",
    "no effect": "Hardly any noise was removed: see the verdict below.",
    "look": "The checks found something to look at: see the verdict below.",
}

FORM = 1
"""Of the data in a drawing: those of another form are not taken over."""


def write_page(page: Page, path: Path) -> None:
    """Write the page, complete or not at all. Raises OutputError where it cannot be written."""
    text = compose(page)
    # names that are no UTF-8 show their bytes as escapes
    write_whole(path, text.encode(errors="backslashreplace"))


def compose(page: Page) -> str:
    """The page as HTML.

    The content security policy lets the browser run this script and this style alone, and load nothing.
    """
    style, script, frame = (_read(name) for name in ("page.css", "page.js", "page.html"))
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(frame).substitute(
        policy=policy,
        style=style,
        script=script,
        title=escape(page.title),
        facts=facts(page.facts),
        alerts=_alerts(page),
        table=page.lead + _table(page),
        sections="".join(_sections(page)),
    )


def _sections(page: Page) -> list[str]:
    """Those with pictures, and the others as long as there are few."""
    written, plain = [], 0
    for entry in page.entries:
        # the warnings of an only series stand on top of the page
        told = entry if len(page.entries) > 1 else replace(entry, warnings=())
        drawing = page.drawings.get(entry.key)
        plain += drawing is None
        if drawing is not None or plain <= MOST_SECTIONS:
            marked = "" if drawing is None else mark(entry.key, drawing)
            written.append(section(told, drawing, marked, folded=len(page.entries) > FOLDED))
    return written


def _alerts(page: Page) -> str:
    """Failures and warnings, the same warning of several series once; of many series the warnings folded."""
    lines = [
        f'<li class="bad"><b>Failed</b> {escape(sentence)}</li>'
        for _, sentence in page.failed[:MOST_WARNINGS]
    ]
    if len(page.failed) > MOST_WARNINGS:
        lines.append(f'<li class="bad">{len(page.failed) - MOST_WARNINGS} more failed; {_see(page)}.</li>')
    minor: list[str] = []
    told = _cautions(page)
    for (kind, text), (count, links) in list(told.items())[:MOST_WARNINGS]:
        more = f" and {count - len(links)} more" if count > len(links) else ""
        where = f" <span>({', '.join(links)}{more})</span>" if len(page.entries) > 1 else ""
        mark = ' class="bad"' if kind == "Reject" else ""
        folded = kind == "Warning" and len(page.entries) > FOLDED
        (minor if folded else lines).append(f"<li{mark}><b>{kind}</b> {escape(text)}{where}</li>")
    if len(told) > MOST_WARNINGS:
        lines.append(f"<li>{len(told) - MOST_WARNINGS} more warnings; {_see(page)}.</li>")
    text = f'<ul class="alerts" aria-label="Warnings">{"".join(lines)}</ul>' if lines else ""
    if minor:
        inner = f'<ul class="alerts">{"".join(minor)}</ul>'
        plural = "s" if len(minor) > 1 else ""
        text += f'<details class="facts"><summary>{len(minor)} warning{plural}</summary>{inner}</details>'
    return text


def _cautions(page: Page) -> dict[tuple[str, str], tuple[int, list[str]]]:
    """Kind and sentence of what to beware of, results to reject first: how many entries, links to some."""
    told: dict[tuple[str, str], tuple[int, list[str]]]
    told = {(verdict.capitalize(), text): (0, []) for verdict, text in _SEE_VERDICT.items()}
    for entry in page.entries:  # once: they are made anew each time
        verdict = entry.trust.verdict if entry.trust is not None else ""
        seen = [(verdict.capitalize(), _SEE_VERDICT[verdict])] if verdict in _SEE_VERDICT else []
        for caution in (*seen, *(("Warning", text) for text in entry.warnings)):
            count, links = told.get(caution, (0, []))
            if count < MOST_LINKS:
                links.append(
                    f'<a href="#{anchor(entry)}">{escape(entry.short or Path(entry.title).name)}</a>'
                )
            told[caution] = count + 1, links
    return {caution: found for caution, found in told.items() if found[0]}


def _table(page: Page) -> str:
    """All series, a line each; nothing where there is only one."""
    if len(page.entries) < 2:
        return ""
    names = [name for name in ("psnr", "ssim") if any(name in entry.metrics for entry in page.entries)]
    heads = "".join(f'<th scope="col" class="n">{name.upper()}</th>' for name in names)
    drawn = sum(entry.key in page.drawings for entry in page.entries)
    differ = len({entry.about for entry in page.entries[:MOST_ROWS]}) > 1
    rows = []
    for entry in page.entries[:MOST_ROWS]:
        noise = entry.noise
        told = (number(entry.metrics.get(name), metric=name) for name in names)
        values = "".join(f'<td class="n">{escape(text)}</td>' for text in told)
        about = f"<small>{escape(' · '.join(entry.about))}</small>" if differ else ""
        plain = " (no pictures)" if drawn and entry.key not in page.drawings else ""
        rows.append(
            f'<tr><th scope="row"><a href="#{anchor(entry)}">{escape(entry.title)}</a>{plain}{about}</th>'
            f"<td>{chip(entry.trust)}</td>"
            f'<td class="n">{_before(noise)}</td>'
            f'<td class="n">{escape(number(noise.after, 3))}</td>'
            f'<td class="n">{escape(with_unit(noise.removed, noise.unit, 3))}</td>'
            f'{values}<td class="n">{len(entry.warnings) or "–"}</td></tr>'
        )
    heads = (
        '<th scope="col">Series</th><th scope="col">Trust</th><th scope="col" class="n">Noise before</th>'
        f'<th scope="col" class="n">after</th><th scope="col" class="n">removed</th>{heads}'
        '<th scope="col" class="n">Warnings</th>'
    )
    return table("all", _count(page), heads, rows) + _left_out(page, drawn)


def _before(noise: Levels) -> str:
    """The noise before; where there is no flat place the level that was used, which says so."""
    if noise.before is not None or noise.after is not None or noise.used is None:
        return escape(number(noise.before, 3))
    why = escape(", ".join(filter(None, (noise.source, "no flat place to compare"))))
    return f'<span title="{why}">≈ {escape(with_unit(noise.used, noise.unit, 3))}</span>'


def _count(page: Page) -> str:
    """Number of series, and of each verdict, the worst first."""
    verdicts = Counter(str(entry.trust.verdict) for entry in page.entries if entry.trust is not None)
    parts = [f"{verdicts[name]} {name}" for name in (*_SEE_VERDICT, "ok") if verdicts[name]]
    return f"{len(page.entries)} series" + (f": {', '.join(parts)}" if parts else "")


def _left_out(page: Page, drawn: int) -> str:
    """Sentence on the series that the table and the page leave out."""
    count, notes = len(page.entries), []
    if count > MOST_ROWS:
        notes.append(f"{count - MOST_ROWS} more series: {_see(page)}.")
    if drawn < count:
        notes.append(f"Pictures of {drawn} of {count} series are kept, so that the page opens quickly.")
    return "".join(f'<p class="note">{note}</p>' for note in notes)


def _see(page: Page) -> str:
    return f"see {escape(page.table)}" if page.table else "see the table next to this page"


def _read(name: str) -> str:
    return files("meddenoise.report.page").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def mark(key: str, drawing: Drawing) -> str:
    """A drawing as it goes into a page, with comments around it that `read_drawings` looks for.

    Nothing in a drawing can end a comment: all text in it is escaped.
    """
    return f"<!--drawing {FORM} {_name(key)}-->{drawing.body}<!--end-->"


def read_drawings(path: Path, keys: set[str]) -> dict[str, Drawing]:
    """The drawings in the page at `path` by those keys, without who is on them; empty where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return {}
    found = {
        match.group(1): match.group(2)
        for match in re.finditer(rf"<!--drawing {FORM} (\S+?)-->(.*?)<!--end-->", text, re.DOTALL)
    }
    return {key: Drawing(found[_name(key)]) for key in sorted(keys) if _name(key) in found}


def _name(key: str) -> str:
    return escape(re.sub(r"[^\w.]", "_", key))
