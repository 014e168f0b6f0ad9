"""A plan of a rollout in words and tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from otaru.apps.cli import values
from otaru.apps.cli.printer import Printer, field, one_line, remark, several
from otaru.apps.cli.progress import counts

Plan = Mapping[str, Any]
_FINE = 0.021
"""Steps of a dry run beyond which it is told that they are coarse."""
_UNHEARD = "unknown: none of its members has been heard of"
_SHOWN = 5
"""First devices that are named."""


def show(printer: Printer, found: Plan, *, hours: bool) -> None:
    """All of a plan; with `hours`, also how many bytes move in each."""
    printer.details(found, list(_details(found)))
    for warning in found["warnings"]:
        remark(f"otaru: {warning}")
    if len(found["segments"]) > 1:
        alike = ("Alike", lambda s: one_line(s["name"]))
        numbers = (field("Devices", "size"), field("Canaries"), field("Critical"))
        printer.section("Segments", found["segments"], (("Segment", lambda s: s["index"] + 1), alike, *numbers))
    waves: Sequence[Mapping[str, Any]] = found["waves"]
    columns = (
        ("Wave", lambda w: waves.index(w) + 1),
        ("Devices", lambda w: w["height"] - w["start"]),
        ("Up to", lambda w: w["height"]),
    )
    printer.section("Waves", waves, columns)
    if hours and found["expected"] is not None:
        each = found["volume"] / found["members"]
        told = [{"hour": hour, "told": n} for hour, n in enumerate(found["expected"]["told_by_hour"]) if n]
        moved = ("Moved", lambda h: values.shown_size(h["told"] * each))
        printer.section("By hour", told, (field("Hour"), field("Devices", "told"), moved))


def _details(found: Plan) -> Iterator[tuple[str, Any]]:
    yield "members", found["members"]
    yield "left out", counts(found["left_out"])
    yield "canaries", found["canaries"] or None
    first = found["first"]
    yield "first", ", ".join(first[:_SHOWN]) + (" …" if len(first) > _SHOWN else "")
    yield "to move", values.shown_size(found["volume"]) if found["members"] else None
    if (expected := found["expected"]) is not None:
        yield "expected", _course(expected)
        yield "by", _known(found)
    if (bad := found["bad"]) is not None:
        yield "if bad", _bad(bad)


def _course(course: Plan) -> str:
    """How it would go where all is well."""
    if course["told"] == 0:
        return _UNHEARD
    reached = ((share, course[name]) for share, name in (("50%", "half_s"), ("90%", "most_s"), ("99%", "nearly_all_s")))
    parts = [f"{share} after {_span(span)}" for share, span in reached if span is not None]
    if course["state"] == "finished":
        return ", ".join([*parts, f"finished after {_span(course['ended_s'])}"])
    word = f"{course['state']} after {_span(course['ended_s'])}" if course["ended_s"] else "not finished within 90 days"
    return ", ".join([*parts, word]) + (f": {one_line(course['reason'])}" if course["reason"] else "")


def _known(found: Plan) -> str:
    """What that rests on."""
    parts = ["when its members were last heard of"]
    if found["unheard"]:
        parts.append(f"{found['unheard']} never were: no wave without --quorum or --wave-timeout ends before they come")
    install = found["install_s"]
    parts.append("how long updates take is unknown" if install is None else f"updates take {_span(install)}")
    if found["failure"] is not None:
        parts.append(f"{found['failure']:.1%} failed before")
    if found["expected"]["step"] > _FINE:
        parts.append(f"looked at in steps of {found['expected']['step']:.0%}, for there are many segments and waves")
    return "; ".join(parts)


def _bad(course: Plan) -> str:
    if course["told"] == 0:
        return _UNHEARD
    word = f"{several(course['told'], 'device', 'devices')} exposed, {course['failed']} failed"
    if course["ended_s"] is None:
        return f"{word}, and nothing stops it within 90 days"
    why = f": {one_line(course['reason'])}" if course["reason"] else ""
    held = f", held: {'; '.join(map(one_line, course['held']))}" if course["held"] else ""
    return f"{word}, {course['state']} after {_span(course['ended_s'])}{held}{why}"


def _span(seconds: float) -> str:
    """Seconds as people say them: as exact as a forecast can be."""
    step = 60 if seconds < 7200 else 3600
    return values.shown_duration(max(step, round(seconds / step) * step)) if seconds else "0s"
