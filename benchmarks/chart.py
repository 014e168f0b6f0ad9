"""Growth curves as SVG: lines on two logarithmic axes, in greys and mid tones that show on light and on dark pages."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

Point = tuple[float, float]

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 176, 40, 48
_COLOURS = ("#2f81f7", "#d29922", "#3fb950", "#db61a2", "#a371f7", "#e5534b", "#57a5a5", "#8b8b8b")
_GREY = "#808080"


@dataclass(frozen=True, slots=True)
class Chart:
    """Named lines of points (x, y), all above 0."""

    title: str
    across: str
    up: str
    lines: Mapping[str, Sequence[Point]]


def svg(chart: Chart) -> str:
    """The picture."""
    points = [point for line in chart.lines.values() for point in line]
    scale = _Scale(_axis([x for x, _ in points]), _axis([y for _, y in points]))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"',
        f' font-family="sans-serif" font-size="12" fill="{_GREY}" role="img">',
        f"<title>{escape(chart.title)}</title>",
        _text(_LEFT, 20, chart.title, extra='font-size="14" font-weight="bold"'),
        *_grid(scale),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, chart.across, extra='text-anchor="middle"'),
        _text(0, 0, chart.up, extra=f'text-anchor="middle" transform="translate(14 {_HEIGHT / 2 - 4}) rotate(-90)"'),
    ]
    for number, (name, line) in enumerate(chart.lines.items()):
        parts += _line(scale, number, name, line)
    return "\n".join([*parts, "</svg>"]) + "\n"


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places; each axis runs between two powers of ten."""

    across: tuple[int, int]
    up: tuple[int, int]

    def x(self, value: float) -> float:
        low, high = self.across
        return _LEFT + (math.log10(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.up
        return _HEIGHT - _BOTTOM - (math.log10(value) - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)


def _axis(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return (low, high) if high > low else (low, low + 1)


def _grid(scale: _Scale) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for power in range(scale.across[0], scale.across[1] + 1):
        x = scale.x(10**power)
        parts += [_rule(x, _TOP, x, bottom), _text(x, bottom + 16, _power(power), extra='text-anchor="middle"')]
    for power in range(scale.up[0], scale.up[1] + 1):
        y = scale.y(10**power)
        parts += [_rule(_LEFT, y, right, y), _text(_LEFT - 6, y + 4, _power(power), extra='text-anchor="end"')]
    return parts


def _line(scale: _Scale, number: int, name: str, line: Sequence[Point]) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    places = [(scale.x(x), scale.y(y)) for x, y in line]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    row = _TOP + 8 + 18 * number
    legend = _WIDTH - _RIGHT + 12
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places),
        f'<rect x="{legend}" y="{row - 9}" width="10" height="10" fill="{colour}"/>',
        _text(legend + 16, row, name),
    ]


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_GREY}" stroke-opacity="0.3"/>'


def _text(x: float, y: float, words: str, *, extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {extra}>{escape(words)}</text>'


def _power(power: int) -> str:
    names = {3: "1k", 4: "10k", 5: "100k", 6: "1M"}
    return names.get(power, f"{10.0**power:g}")
