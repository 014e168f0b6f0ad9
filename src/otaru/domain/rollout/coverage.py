"""Which members of a segment are its canaries: those that, of a few that the lot has brought forward, stand for them best.

What devices tell of themselves (battery, signal, temperature …) says how they live, and a release may fail where they live
badly. So canaries are not all alike: the first is the draw's first, each further one is the candidate that brings what the
canaries so far leave uncovered closest to one of them (facility location, greedily: at least 1 - 1/e of the best choice;
Nemhauser, Wolsey and Fisher, 1978). The candidates are the draw's first, so that which device of many alike is taken is
chance, and control stays comparable.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import fsum, sqrt

from otaru.domain.ids import DeviceId

POOL = 4
"""So many times as many candidates as canaries …"""
MAX_POOL = 1000
"""… but not more, of all segments: choosing costs milliseconds in the transaction that plans."""
MAX_NAMES = 16
"""Of measurements: those that most candidates have told."""

Told = Mapping[str, float]
"""What a device last told, by name."""


def covering(told: Sequence[Told], count: int) -> list[int]:
    """The `count` of some candidates, in the draw's order, that stand for them best; in that order too.

    The draw's first of them where nothing was told, or where there are no more.
    """
    if count == 0 or len(told) <= count or not any(told):
        return list(range(min(count, len(told))))
    points = _standardised(told)
    alike = [[_alike(one, other) for other in points] for one in points]
    chosen = [0]
    covered = list(alike[0])
    while len(chosen) < count:
        gains = {
            index: fsum(max(0.0, own - so_far) for own, so_far in zip(alike[index], covered, strict=True))
            for index in range(len(points))
            if index not in chosen
        }
        best = min(gains, key=lambda index: (-round(gains[index], 9), index))
        chosen.append(best)
        covered = [max(pair) for pair in zip(covered, alike[best], strict=True)]
    return sorted(chosen)


def swapped(ranks: Mapping[DeviceId, int], told: Mapping[DeviceId, Told], count: int) -> dict[DeviceId, int]:
    """The ranks of candidates of one segment, once those that stand for them best have the first `count` of their ranks.

    Only those whose rank becomes another one: the chosen take the ranks of canaries, who take theirs.
    """
    line = sorted(ranks, key=lambda device: ranks[device])
    best = {line[index] for index in covering([told.get(device, {}) for device in line], count)}
    come = [device for device in line[count:] if device in best]
    go = [device for device in line[:count] if device not in best]
    moves = {device: ranks[other] for device, other in zip(come, go, strict=True)}
    return moves | {device: ranks[other] for device, other in zip(go, come, strict=True)}


def _standardised(told: Sequence[Told]) -> list[tuple[float, ...]]:
    """Each candidate as a point: measurements by their spread; what was not told is taken for usual."""
    values: dict[str, list[float]] = defaultdict(list)
    for one in told:
        for name, value in one.items():
            values[name].append(value)
    names = sorted(values, key=lambda name: (-len(values[name]), name))[:MAX_NAMES]
    scales = [(name, _mean(values[name]), spread) for name in names if (spread := _spread(values[name])) > 0]
    return [tuple((one[name] - mean) / spread if name in one else 0.0 for name, mean, spread in scales) for one in told]


def _mean(values: Sequence[float]) -> float:
    return fsum(value / len(values) for value in values)


def _spread(values: Sequence[float]) -> float:
    """Their standard deviation, however great they are."""
    most = max(map(abs, values))
    if most == 0:
        return 0.0
    mean = _mean(values) / most
    return most * sqrt(fsum((value / most - mean) ** 2 for value in values) / len(values))


def _alike(one: Sequence[float], other: Sequence[float]) -> float:
    """1: the same; towards 0 with their distance."""
    return 1 / (1 + fsum((a - b) ** 2 for a, b in zip(one, other, strict=True)))
