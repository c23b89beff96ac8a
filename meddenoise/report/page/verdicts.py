"""The verdict on a result: a line under its title, and the checks behind it."""

from collections.abc import Mapping
from html import escape
from typing import Any

from meddenoise.report.page.tables import number, table, with_unit
from meddenoise.trust import CHECKS, Bin, Trust
from meddenoise.trust.advice import say_advice

NAMES = {
    "structure_lost": "Structure lost",
    "structure_invented": "Structure invented",
    "edges_lost": "Edges lost",
    "mean_shift": "Brightness shifted",
    "lesion_survival": "Small discs kept",
    "smoothing": "Signs of smoothing",
    "noise_left": "Noise left",
    "grain_coarser": "Grain coarser",
    "reference_lost": "Lost against the reference",
    "reference_invented": "Invented against the reference",
    "faint_lost": "Faint spots lost",
}
"""Of CHECKS, in words."""
_GOOD = "No check found structure, edges or brightness lost or invented."
_UNKNOWN = "Nothing could be checked."


def read_trust(told: Mapping[str, Any] | None) -> Trust | None:
    """The verdict as a report tells it."""
    if told is None:
        return None
    return Trust(
        told["verdict"],
        tuple(told["reasons"]),
        tuple(told["notes"]),
        dict(told["values"]),
        tuple(Bin(**one) for one in told["bins"]),
        tuple(told.get("advice", ())),
    )


def verdict_line(trust: Trust | None) -> str:
    """The verdict with its reasons as HTML; nothing where nobody asked for it."""
    if trust is None:
        return ""
    word = trust.verdict or "not judged"
    reasons = trust.reasons or ((_GOOD,) if trust.verdict == "ok" else trust.notes or (_UNKNOWN,))
    text = "; ".join(reason.rstrip(".") for reason in reasons)
    text = text[:1].upper() + text[1:] + "."
    text += f" T{say_advice(trust.advice)[1:]}." if trust.advice else ""
    return f'<p class="verdict {kind_of(trust.verdict)}"><b>{word}</b> {escape(text)}</p>'


def chip(trust: Trust | None) -> str:
    """The verdict in a word as HTML, a dash where there is none."""
    word = trust.verdict if trust is not None else None
    return f'<span class="chip {kind_of(word)}">{word}</span>' if word else "–"


def kind_of(verdict: str | None) -> str:
    """The class of a verdict in page.css."""
    return "unknown" if verdict is None else verdict.replace(" ", "-")


def checks(trust: Trust | None, unit: str) -> str:
    """Table of the checks behind the verdict, folded away; empty if nothing was checked."""
    if trust is None or not any(value is not None for value in trust.values.values()):
        return ""
    rows = [_row(name, trust.values.get(name)) for name in CHECKS if name in trust.values]
    heads = '<th scope="col">Check</th>' + "".join(
        f'<th scope="col" class="n">{head}</th>' for head in ("Value", "no effect", "look", "reject")
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in trust.notes)
    return (
        '<details class="facts"><summary>Basis of the verdict</summary>'
        + table("checks", "Checks", heads + '<th scope="col">Meaning</th>', rows)
        + notes
        + _bins(trust.bins, unit)
        + "</details>"
    )


def _row(name: str, value: float | None) -> str:
    check = CHECKS[name]
    side = "≤" if check.falling else "≥"
    kind = "" if value is None else f" {kind_of(check.judge(value))}"
    limits = (
        "" if limit is None else f"{side} {limit:.3g}"
        for limit in (check.no_effect, check.look, check.reject)
    )
    return (
        f'<tr><th scope="row">{escape(NAMES[name])}</th><td class="n{kind}">{escape(number(value))}</td>'
        + "".join(f'<td class="n">{limit}</td>' for limit in limits)
        + f"<td>{escape(check.what[:1].upper() + check.what[1:])}.</td></tr>"
    )


def _bins(bins: tuple[Bin, ...], unit: str) -> str:
    """Shift of each range of brightness."""
    if not bins:
        return ""
    rows = [
        f'<tr><th scope="row">{escape(number(one.low))} … {escape(with_unit(one.high, unit))}</th>'
        f'<td class="n">{escape(with_unit(one.shift, unit))}</td></tr>'
        for one in bins
    ]
    heads = '<th scope="col">Brightness of the result</th><th scope="col" class="n">Mean moved by</th>'
    return table("bins", "Mean of each range of brightness, result less input", heads, rows)
