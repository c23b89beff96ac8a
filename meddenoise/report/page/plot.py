"""Line plots as inline SVG: no library, no ids, colours by class so that they follow light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 30, 42


@dataclass(frozen=True, slots=True)
class PlotCurve:
    """A line; `style` is a class of page.css ("before", "after", "model"), `filled` colours down to 0."""

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    style: str
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Axes:
    """Title of the plot and labels of its axes."""

    title: str
    x: str
    y: str
    counted: tuple[int, int] | None = None
    """First and last of what x counts, if it does: all are shown, and only whole numbers are marked."""


def draw_plot(curves: Sequence[PlotCurve], axes: Axes) -> str:
    """An `<svg>` with axes, a legend and the curves; y begins at 0."""
    x_low, x_high = axes.counted or (min(c.x.min() for c in curves), max(c.x.max() for c in curves))
    y_high = max(c.y.max() for c in curves) * 1.06 or 1.0
    scale = _Scale(float(x_low), float(x_high), float(y_high))
    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(axes.title)}">',
        *_grid(scale, 0.0 if axes.counted is None else 1.0),
        *(_draw_curve(curve, scale) for curve in curves),
        *_legend(curves),
        f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{escape(axes.x)}</text>",
        f'<text class="label" transform="translate(13 {(TOP + HEIGHT - BOTTOM) / 2:g}) rotate(-90)" '
        f'text-anchor="middle">{escape(axes.y)}</text>',
        "</svg>",
    ]
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    top: float

    def x(self, value: float) -> float:
        return LEFT + (value - self.low) / ((self.high - self.low) or 1.0) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)


def _draw_curve(curve: PlotCurve, scale: _Scale) -> str:
    points = " ".join(
        f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True)
    )
    line = f'<polyline class="curve {curve.style}" points="{points}"/>'
    if not curve.filled:
        return line
    ends = (f"{scale.x(float(curve.x[end])):.1f},{scale.y(0):.1f}" for end in (0, -1))
    first, last = ends
    return f'<polygon class="area {curve.style}" points="{first} {points} {last}"/>{line}'


def _grid(scale: _Scale, least_step: float) -> list[str]:
    parts = []
    for value in _ticks(0.0, scale.top, 4):
        y = f"{scale.y(value):.1f}"
        place = f'x="{LEFT - 6}" y="{y}" dy="4" text-anchor="end"'
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" {place}>{_tick(value)}</text>')
    base = HEIGHT - BOTTOM
    for value in _ticks(scale.low, scale.high, 6, least_step):
        x = f"{scale.x(value):.1f}"
        place = f'x="{x}" y="{base + 17}" text-anchor="middle"'
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{base}" y2="{base + 4}"/>')
        parts.append(f'<text class="tick" {place}>{_tick(value)}</text>')
    return parts


def _legend(curves: Sequence[PlotCurve]) -> list[str]:
    parts, x = [], float(LEFT)
    for curve in curves:
        parts.append(f'<line class="curve {curve.style}" x1="{x:g}" x2="{x + 18:g}" y1="13" y2="13"/>')
        parts.append(f'<text class="label" x="{x + 23:g}" y="17">{escape(curve.name)}</text>')
        x += 23 + 6.4 * len(curve.name) + 16
    return parts


def _tick(value: float) -> str:
    """A short number: 300k and 2M for what would not fit."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size:
            return f"{value / size:.4g}{letter}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def _ticks(low: float, high: float, about: int, least_step: float = 0.0) -> list[float]:
    """Round values between `low` and `high`, multiples of `least_step` if that is above 0."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    raw = max(span / about, least_step)
    unit = 10.0 ** math.floor(math.log10(raw))
    factors = (1.0, 2.0, 5.0, 10.0) if least_step else (1.0, 2.0, 2.5, 5.0, 10.0)
    step = next(factor * unit for factor in factors if factor * unit >= raw)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [(first + n) * step for n in range(count)]
