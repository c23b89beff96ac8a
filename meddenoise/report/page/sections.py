"""One series of the page: what the report says of it around its drawing."""

import hashlib
from collections.abc import Iterable
from html import escape

from meddenoise.report.page import Drawing, PageEntry
from meddenoise.report.page.along import draw_along
from meddenoise.report.page.meanings import meaning_of, name_of
from meddenoise.report.page.tables import number, table, with_unit
from meddenoise.report.page.verdicts import checks, chip, verdict_line

LEFT_OUT = (
    "No pictures of this series: the page keeps a limited number, and those of a run that was killed are "
    "lost. Denoise it by itself, or with --overwrite, to see it."
)


def anchor(entry: PageEntry) -> str:
    """The id of the section of an entry."""
    return f"series-{hashlib.sha256(entry.key.encode(errors='backslashreplace')).hexdigest()[:12]}"


def section(entry: PageEntry, drawing: Drawing | None, marked: str, *, folded: bool = False) -> str:
    """The section; `marked` is its drawing as it goes into the page; `folded` shows its title at first."""
    title = f"<h2>{escape(entry.title)}</h2>"
    verdict = chip(entry.trust) if entry.trust is not None else ""
    parts = [
        f'<section class="series" id="{anchor(entry)}">',
        f'<details class="fold"><summary>{title}{verdict}</summary>' if folded else title,
        f'<p class="about">{" · ".join(map(escape, entry.about))}</p>',
        f'<dl class="who">{drawing.who}</dl>' if drawing is not None and drawing.who else "",
        verdict_line(entry.trust),
        _warnings(entry.warnings),
        _cards(entry),
        '<div class="curves">',
        marked if drawing is not None else f'<p class="note">{escape(LEFT_OUT)}</p>',
        draw_along(entry.by_plane, entry.noise.unit),
        "</div>",
        _metrics(entry),
        checks(entry.trust, entry.noise.unit),
        f'<details class="facts"><summary>How it was made</summary>{facts(entry.facts)}</details>',
        "</details>" if folded else "",
        "</section>",
    ]
    return "".join(parts)


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Labels and values as a list."""
    lines = (
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in pairs if value
    )
    return f"<dl>{''.join(lines)}</dl>"


def _warnings(warnings: tuple[str, ...]) -> str:
    if not warnings:
        return ""
    return f'<ul class="warnings">{"".join(f"<li>{escape(text)}</li>" for text in warnings)}</ul>'


def _cards(entry: PageEntry) -> str:
    """The numbers to see first: noise, then what compares with a reference where there is one."""
    noise, cards = entry.noise, []
    if noise.after is not None:
        before = "" if noise.before is None else f"{number(noise.before, 3)} → "
        gone = "" if noise.removed is None else f"{with_unit(noise.removed, noise.unit, 3)} removed"
        cards.append(("Noise in flat places", f"{before}{with_unit(noise.after, noise.unit, 3)}", gone))
    elif noise.used is not None:
        why = ", ".join(filter(None, (noise.source, "no flat place to compare")))
        cards.append(("Noise before", with_unit(noise.used, noise.unit, 3), why))
    for name in ("psnr", "ssim"):
        value, noisy = entry.metrics.get(name), entry.metrics_before.get(name)
        if value is not None:
            unit = entry.units.get(name, "")
            own = "" if noisy is None else f"before: {with_unit(noisy, unit, metric=name)}"
            cards.append((name_of(name), with_unit(value, unit, metric=name), own))
    lines = (
        f'<div class="card"><span>{escape(label)}</span><b>{escape(value)}</b><i>{escape(note)}</i></div>'
        for label, value, note in cards
    )
    return f'<div class="cards">{"".join(lines)}</div>' if cards else ""


def _metrics(entry: PageEntry) -> str:
    if not entry.metrics:
        return ""
    has_before = bool(entry.metrics_before)
    rows = []
    for name, value in entry.metrics.items():
        own = entry.units.get(name, "")
        before = number(entry.metrics_before.get(name), metric=name)
        noisy = f'<td class="n">{escape(before)}</td>' if has_before else ""
        after = escape(with_unit(value, own, metric=name))
        rows.append(
            f'<tr><th scope="row">{escape(name_of(name))}</th>{noisy}'
            f'<td class="n">{after}</td><td>{escape(meaning_of(name))}</td></tr>'
        )
    head = '<th scope="col" class="n">'
    heads = f"{head}Before</th>{head}After</th>" if has_before else f"{head}Value</th>"
    heads = f'<th scope="col">Measure</th>{heads}<th scope="col">Meaning</th>'
    return table("metrics", "Measured", heads, rows)
