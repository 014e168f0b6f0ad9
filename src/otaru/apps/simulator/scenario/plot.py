"""A story as SVG: devices by state over its hours, in mid tones that show on light and on dark pages."""

from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from otaru.apps.simulator.scenario.account import Account, Hour
from otaru.domain.deployment import FAILURES, OPEN, State

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 150, 40, 48
_GREY = "#808080"
_LINES: Sequence[tuple[str, str, Callable[[Hour], int]]] = (
    ("succeeded", "#3fb950", lambda hour: hour.counts.get(State.SUCCEEDED, 0)),
    ("under way", "#2f81f7", lambda hour: sum(hour.counts.get(state, 0) for state in OPEN)),
    ("failed", "#d29922", lambda hour: sum(hour.counts.get(state, 0) for state in FAILURES)),
    ("harmed", "#e5534b", lambda hour: hour.exposed),
)


def svg(account: Account) -> str:
    """The picture."""
    hours, top = account.hours, max(account.scenario.devices, 1)
    end = max(account.ended_s, 1.0)

    def place(hour: Hour, value: int) -> str:
        x = _LEFT + hour.at_s / end * (_WIDTH - _LEFT - _RIGHT)
        return f"{x:.1f},{_up(value / top):.1f}"

    title = f"{account.scenario.product} {account.scenario.version}, {account.scenario.devices} devices"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"',
        f' font-family="sans-serif" font-size="12" fill="{_GREY}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<text x="{_LEFT}" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
        *_grid(end, top),
    ]
    taken: list[float] = []
    for name, colour, of in _LINES:
        points = " ".join(place(hour, of(hour)) for hour in hours)
        last = of(hours[-1]) if hours else 0
        y = _free(_up(last / top), taken)
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
            f'<text x="{_WIDTH - _RIGHT + 8}" y="{y + 4:.1f}" fill="{colour}">{name} {last}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _up(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _free(y: float, taken: list[float]) -> float:
    """The nearest height above `y` at which a name does not cover another."""
    while any(abs(y - other) < 15 for other in taken):
        y -= 1
    taken.append(y)
    return y


def _grid(end_s: float, top: int) -> list[str]:
    parts = []
    for quarter in range(5):
        y, x = _up(quarter / 4), _LEFT + quarter / 4 * (_WIDTH - _LEFT - _RIGHT)
        parts += [
            f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_GREY}" stroke-opacity="0.3"/>',
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{top * quarter // 4}</text>',
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{end_s * quarter / 4 / 3600:.3g} h</text>',
        ]
    return parts
