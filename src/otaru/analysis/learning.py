"""What the past rollouts of a product teach the judge of the next one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from otaru.analysis.dark import excused
from otaru.analysis.health import USUAL, Ratio, Risk
from otaru.analysis.health import learned as ratio_of
from otaru.analysis.ruling import blocks_of, outcomes
from otaru.analysis.tolerance import NOTHING, Count, Tolerance, learn
from otaru.domain.evidence import Evidence
from otaru.domain.ids import Version
from otaru.domain.rollout import Learned, Rollout, Segment, SequentialRule


@dataclass(frozen=True, slots=True)
class Past:
    """A rollout that ended, with its members counted and what they told. Segments that were held teach nothing."""

    rollout: Rollout
    evidence: Evidence

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Those that teach."""
        return tuple(s for s in self.rollout.segments if not s.held)


def learned(rule: SequentialRule, segments: Sequence[Segment], past: Sequence[Past]) -> SequentialRule:
    """The rule with what `past` teaches. Rollouts of one version are one release; segments are alike by their names."""
    releases: dict[Version, dict[str, Count]] = {}
    events: dict[Version, tuple[Risk, Risk, Risk]] = {}
    for one in past:
        version = one.rollout.version
        counts = _by_name(one)
        if any(c.tried for c in counts.values()):
            releases[version] = _added(releases.get(version, {}), counts)
            events[version] = _joined(events.get(version), _events(one))
    names = {s.index: s.name for s in segments}
    fleet, own = learn(list(releases.values()), list(names.values()))
    return replace(
        rule,
        releases=len(releases),
        whole=_frozen(fleet),
        segments=tuple(_frozen(own[names[i]]) for i in sorted(names)),
        fresh=_ratio([(fresh, control) for fresh, _, control in events.values()], USUAL.fresh),
        settled=_ratio([(settled, control) for _, settled, control in events.values()], USUAL.settled),
    )


def _by_name(past: Past) -> dict[str, Count]:
    not_counted, tally = excused(past.evidence.told), past.evidence.segment
    return _added({}, {s.name: outcomes(tally(s.index), not_counted.get(s.index, NOTHING)) for s in past.segments})


def _added(known: Mapping[str, Count], more: Mapping[str, Count]) -> dict[str, Count]:
    sums = dict(known)
    for name, count in more.items():
        before = sums.get(name, Count(0, 0))
        sums[name] = Count(before.failed + count.failed, before.tried + count.tried)
    return sums


def _events(past: Past) -> tuple[Risk, Risk, Risk]:
    """Fresh, settled and control, while there was a control."""
    if (risk := past.evidence.risk) is None:
        return Risk(), Risk(), Risk()
    hours = max((h for _, _, h in risk.moves), default=0)
    blocks = [b for s in past.segments for b in blocks_of(risk, s.index, hours) if b.control.hours > 0]
    return _sum([b.fresh for b in blocks]), _sum([b.settled for b in blocks]), _sum([b.control for b in blocks])


def _joined(before: tuple[Risk, Risk, Risk] | None, more: tuple[Risk, Risk, Risk]) -> tuple[Risk, Risk, Risk]:
    if before is None:
        return more
    fresh, settled, control = (_sum(pair) for pair in zip(before, more, strict=True))
    return fresh, settled, control


def _sum(risks: Sequence[Risk]) -> Risk:
    return Risk(sum(r.events for r in risks), sum(r.hours for r in risks))


def _ratio(past: Sequence[tuple[Risk, Risk]], prior: Ratio) -> Learned:
    found = ratio_of(past, prior)
    return Learned(found.centre, found.spread, found.degrees)


def _frozen(tolerance: Tolerance) -> Learned:
    return Learned(tolerance.centre, tolerance.spread, tolerance.degrees)
