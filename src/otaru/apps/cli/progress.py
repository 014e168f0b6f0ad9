"""A rollout in words and tables: for `rollout show` and `rollout watch`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from otaru.apps.cli import values
from otaru.apps.cli.printer import Column, field, moment, one_line

Rollout = Mapping[str, Any]
ORDER = (
    "succeeded",
    "failed",
    "reverted",
    "silent",
    "rejected",
    "cancelled",
    "skipped",
    "on_trial",
    "rebooting",
    "installing",
    "downloaded",
    "downloading",
    "cancelling",
    "postponed",
    "awaiting_consent",
    "offered",
    "scheduled",
)
"""States in the order in which people look for them: how it ended, then what is under way, the nearest to its end first."""


VERDICTS: Sequence[Column] = (
    ("Of", lambda v: "all" if v["segment"] is None else f"segment {v['segment'] + 1}"),
    field("Verdict", "call"),
    ("E-value", lambda v: f"{v['e_value']:.3g}"),
    ("Threshold", lambda v: f"{v['threshold']:,.0f}"),
    ("Failed", lambda v: f"{v['failed']} of {v['tried']}"),
    ("At", lambda v: moment(v["at"])),
)
"""What a sequential judge found."""


def counts(found: Mapping[str, int]) -> str:
    """Counts in words, without the zeros: `8 succeeded, 1 failed`."""
    known = [state for state in ORDER if state in found] + [state for state in found if state not in ORDER]
    return ", ".join(f"{found[state]} {state}" for state in known if found[state])


def failures(rollout: Rollout) -> int:
    """How many members ended in a way that speaks against the release."""
    from otaru.domain.deployment import FAILURES

    return sum(int(rollout["counts"].get(state, 0)) for state in FAILURES)


def wave_under_way(rollout: Rollout) -> str:
    """Where it stands among its waves: `wave 2 of 3 observing`; empty for one of a single wave, or outside of them."""
    waves: Sequence[Mapping[str, Any]] = rollout.get("waves", ())
    current = next((w for w in waves if w["state"] in {"open", "observing", "failed"}), None)
    if current is None or len(waves) < 2:
        return ""
    return f"wave {current['index'] + 1} of {len(waves)} {current['state']}"


def summary(rollout: Rollout) -> str:
    """One line of all that changes."""
    tally = counts(rollout.get("counts", {})) or "no devices"
    parts = [f"{rollout['product']}:{rollout['version']} {rollout['state']}", wave_under_way(rollout), tally]
    parts.append(installing(rollout))
    if rollout.get("reason"):
        parts.append(one_line(rollout["reason"]))
    return " · ".join(part for part in parts if part)


def installing(rollout: Rollout) -> str:
    """When those who have downloaded it install it: `40 wait for the order to install`; empty where nobody waits for that."""
    if rollout["state"] in {"stopping", "stopped", "finished"} or not (rollout.get("policy") or {}).get(
        "download_only"
    ):
        return ""
    order, holding = rollout.get("install"), rollout.get("holding", 0)
    if order is None:
        return (
            f"{holding} {'waits' if holding == 1 else 'wait'} for the order to install" if holding else "when ordered"
        )
    return "installs in the window" if order["in_window"] else f"installs from {moment(order['at'])}"


def details(rollout: Rollout) -> Iterator[tuple[str, Any]]:
    """Its facts by name."""
    yield "rollout", rollout["id"]
    yield "name", rollout.get("name")
    yield "release", f"{rollout['product']}:{rollout['version']}"
    yield "target", rollout.get("target")
    yield "state", rollout["state"]
    # The reason of one that runs is that of its start.
    yield "why", rollout.get("reason") if rollout["state"] in {"paused", "stopping", "stopped", "finished"} else None
    until = moment(rollout["waits_until"]) if rollout.get("waits_until") else ""
    yield "waits", " ".join(part for part in (one_line(rollout.get("waits_for") or ""), until) if part)
    yield "devices", f"{rollout['size']} ({counts(rollout['counts'])})" if rollout.get("size") else 0
    yield "installs", installing(rollout)
    yield "rolls back", f"rollout {rollout['rolls_back']}" if rollout.get("rolls_back") else None
    yield "rolled back by", ", ".join(f"rollout {back}" for back in rollout.get("rolled_back_by", ()))
    yield "follows", _follows(rollout)
    yield "superseded by", f"rollout {rollout['superseded_by']}" if rollout.get("superseded_by") else None
    yield "policy", policy(rollout.get("policy") or {})
    for name in ("created", "start", "started", "ended", "expires"):
        yield name, moment(rollout.get(f"{name}_at"))
    yield "allowed now", ", ".join(rollout.get("allowed", ()))


def _follows(rollout: Rollout) -> str | None:
    order = rollout.get("follows")
    return f"{order['channel']}, for the group {order['group']}" if order else None


def policy(found: Mapping[str, Any]) -> str:
    """A policy on one line: what is set, durations as people write them."""
    parts = []
    for name, value in found.items():
        if name != "priority" and value in (None, False, "", [], "none", "in-window"):
            continue
        parts.append(f"{name.removesuffix('_s').replace('_', ' ')} {_setting(name, value)}")
    return ", ".join(parts)


def _setting(name: str, value: Any) -> str:
    match value:
        case list():
            return ",".join(map(str, value))
        case int() | float() if name.endswith("_s"):
            return values.shown_duration(value)
        case float():
            return f"{value:.4g}" if value > 1 else f"{100 * value:.4g}%"
        case _:
            return str(value)


def sections(rollout: Rollout) -> Iterator[tuple[str, Sequence[Mapping[str, Any]], Sequence[Column]]]:
    """Its waves and its failures, as titled tables."""
    yield (
        "Waves",
        rollout.get("waves", ()),
        (
            ("Wave", lambda w: w["index"] + 1),
            ("Devices", lambda w: w["height"] - w["start"]),
            field("State"),
            ("Counts", lambda w: counts(w.get("counts", {}))),
            ("Opened", lambda w: moment(w.get("opened_at"))),
            ("Why", lambda w: one_line(w.get("reason") or "")),
        ),
    )
    if len(segments := rollout.get("segments", ())) > 1 or any(s["held"] for s in segments):
        yield (
            "Segments",
            segments,
            (
                ("Segment", lambda s: s["index"] + 1),
                ("Alike", lambda s: one_line(s["name"])),
                field("Devices", "size"),
                ("State", lambda s: "held" if s["held"] else "open"),
                ("Counts", lambda s: counts(s.get("counts", {}))),
                ("Why", lambda s: one_line(s.get("reason") or "")),
            ),
        )
    if found := rollout.get("present") or rollout.get("verdicts", ()):
        yield "Verdicts", found, VERDICTS
        lines = [{"words": one_line(line)} for line in found[0]["words"]]
        yield "Why", lines, (field("All members", "words"),)
    yield (
        "Failures",
        rollout.get("failures", ()),
        (field("Devices"), field("State"), ("Last words", lambda f: one_line(f.get("reason") or ""))),
    )
