"""A rollout as options say it: what `otaru rollout` sends to the server."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from otaru.apps.cli import values
from otaru.errors import InvalidInputError


# No slots: Python lays out no class below two that have them. Options are shown in this order, those of `Wanted` last.
@dataclass(frozen=True, kw_only=True)
class Aim:
    """What is to be brought, and to whom."""

    release: Annotated[str, typer.Option(metavar="PRODUCT:VERSION", help="What to bring.")]
    target: Annotated[
        str, typer.Option(metavar="QUERY", help="To whom: 'id==dev-1', 'tag==lab;hardware==rpi4', 'id==*'.")
    ]
    name: Annotated[str, typer.Option(help="A name for people.")] = ""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A channel of a product."""

    product: Annotated[str, typer.Option(metavar="NAME", help="The product.")]
    channel: Annotated[str, typer.Option(metavar="NAME", help="Its channel.")] = "stable"


@dataclass(frozen=True, kw_only=True)
class How:
    """How a rollout goes about it."""

    waves: Annotated[
        str | None,
        typer.Option(help="Heights: devices or percentages, 2,10,100%. None: all at once.", show_default=False),
    ] = None
    shape: Annotated[
        Literal["exponential", "adaptive", "all"] | None,
        typer.Option(
            help="In place of waves: exponential, adaptive (canaries, a fine ladder, 3 % at the end), or all at once.",
            show_default=False,
        ),
    ] = None
    first: Annotated[
        int | None, typer.Option(help="Exponential: devices of the first wave (10).", min=1, show_default=False)
    ] = None
    factor: Annotated[
        float | None, typer.Option(help="Exponential: how waves grow (2).", min=1.1, max=100, show_default=False)
    ] = None
    reason: Annotated[str, typer.Option(help="Why: kept in the record. `--shape all` needs one.")] = ""
    success: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="A wave passes when so many succeeded (90%).", show_default=False),
    ] = None
    error: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="A wave fails when more than so many failed (10%).", show_default=False),
    ] = None
    judge: Annotated[
        Literal["classic", "sequential", "rate"] | None,
        typer.Option(
            help="By thresholds per wave (classic), by e-values against what past releases did (sequential), or at a rate "
            "until it is aborted (rate).",
            show_default=False,
        ),
    ] = None
    rate: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Of the judge `rate`: devices told in a minute.", show_default=False),
    ] = None
    rate_factor: Annotated[
        float | None,
        typer.Option(metavar="F", help="… times so much (2, from 1.1 to 5) …", show_default=False),
    ] = None
    rate_every: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="… for each so many more (1000) …", show_default=False)
    ] = None
    rate_counts: Annotated[
        Literal["notified", "succeeded"] | None,
        typer.Option(help="… that were notified (as it is), or succeeded …", show_default=False),
    ] = None
    rate_max: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="… but at most so many (1000).", show_default=False)
    ] = None
    abort: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE=SHARE@N",
            help="Abort a rate when of N completed devices so many failed, rejected, timed_out, or all of these: "
            "failed=20%@50. Several times: the first that is met.",
            show_default=False,
        ),
    ] = None
    alpha: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="Of a sequential judge: the chance that a good release is ever stopped or held (1%).",
            show_default=False,
        ),
    ] = None
    telemetry: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:low|high",
            help="Of a sequential judge: a measurement that it compares with that of devices not updated yet, and which way "
            "is worse; may be given several times (battery:low signal:low temperature:high).",
            show_default=False,
        ),
    ] = None
    quorum: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="A wave is complete when so many have ended (100%).", show_default=False),
    ] = None
    wave_timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="… or after this time: 2h.", show_default=False)
    ] = None
    observe: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long a complete wave is watched: 30m.", show_default=False)
    ] = None
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="Then who is not reached is skipped: 30d.", show_default=False)
    ] = None
    on_error: Annotated[
        Literal["advise", "pause", "stop", "rollback"] | None,
        typer.Option(
            "--on-error",
            "--automation",
            help="What a failed wave does by itself: tell (advise), pause, stop, or stop and bring devices back "
            "(rollback).",
            show_default=False,
        ),
    ] = None
    urgency: Annotated[
        Literal["forced", "soft"] | None,
        typer.Option(help="Whether the device may choose the moment (soft) or not (forced).", show_default=False),
    ] = None
    consent: Annotated[bool, typer.Option("--consent", help="The device or its owner is asked first.")] = False
    consent_deadline: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Who says nothing for so long has consented: 7d (waits for ever).", show_default=False
        ),
    ] = None
    postponements: Annotated[
        int | None, typer.Option(min=0, max=100, help="How often an owner may postpone (3).", show_default=False)
    ] = None
    postpone_for: Annotated[
        str | None, typer.Option(metavar="TIME", help="How far off, each time (7d).", show_default=False)
    ] = None
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Begin only where it holds: battery>=30%, charging, idle, signal>=-90dBm, unmetered, free>=500MB, "
            "(attr.site==depot). Several times: all of them.",
            show_default=False,
        ),
    ] = None
    window: Annotated[
        str | None,
        typer.Option(
            metavar="WINDOW",
            help="Tell devices only then: '02:00/4h Europe/Paris' (UTC), in each one's own zone '02:00/4h device', "
            "on some days '02:00/4h device FREQ=WEEKLY;BYDAY=SA,SU' (RFC 5545).",
            show_default=False,
        ),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Segments of those alike, held on their own: hardware,version,attr.NAME.",
            show_default=False,
        ),
    ] = None
    install_takes: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Tell devices only while so much of the window is left: 20m.", show_default=False
        ),
    ] = None
    ignore_blackout: Annotated[
        bool,
        typer.Option(
            "--ignore-blackout", help="Offer it during blackouts too: for emergencies, as an admin; it is recorded."
        ),
    ] = False

    validate: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="The health window: a device that installed it runs it on trial so long, then it is a success: 30m.",
            show_default=False,
        ),
    ] = None
    validate_max_events: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="… and fails at so many crashes or other bad health events (1).",
            show_default=False,
        ),
    ] = None
    approve: Annotated[
        Literal["start", "waves"] | None,
        typer.Option(help="Wait for approval: of the start, or of each further wave too.", show_default=False),
    ] = None
    priority: Annotated[
        int | None,
        typer.Option(
            metavar="0-9",
            min=0,
            max=9,
            help="Of a device's rollouts the one with the highest goes first (5).",
            show_default=False,
        ),
    ] = None
    download_only: Annotated[
        bool,
        typer.Option(
            "--download-only", help="Devices fetch it, and install it when `rollout install` says so (downloadonly)."
        ),
    ] = False
    download: Annotated[
        Literal["any-time", "in-window"] | None,
        typer.Option(
            help="With --window: fetch it at any time and install it in the window, or both in it (in-window).",
            show_default=False,
        ),
    ] = None
    max_in_flight: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="So many devices at once that are told and have not ended.", show_default=False
        ),
    ] = None
    max_per_minute: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="So many devices told in a minute.", show_default=False)
    ] = None
    max_per: Annotated[
        list[str] | None,
        typer.Option(
            metavar="attr.NAME=N|tag.NAME=N",
            help="So many at once that share an attribute's value (attr.site=5), or a tag (tag.lab=5); several times.",
            show_default=False,
        ),
    ] = None

    def body(self) -> dict[str, Any]:
        """The request for it: what was not named is left out, so that the server's defaults hold.

        Raises:
            InvalidInputError: a value is not written as it should be.
        """
        body: dict[str, Any] = {
            "waves": None if self.waves is None else values.waves(self.waves),
            "shape": self.shape,
            "first": self.first,
            "factor": self.factor,
            "reason": self.reason or None,
            "success": _share(self.success),
            "error": _share(self.error),
            "judge": self.judge,
            "rate": self._rate(),
            "alpha": _share(self.alpha),
            "telemetry": self.telemetry or None,
            "quorum": _share(self.quorum),
            "wave_timeout_s": _seconds(self.wave_timeout),
            "observe_s": _seconds(self.observe),
            "expires_in_s": _seconds(self.expires),
            "on_error": self.on_error,
            "urgency": self.urgency,
            "consent": self.consent or None,
            "consent_deadline_s": _seconds(self.consent_deadline),
            "postponements": self.postponements,
            "postpone_for_s": _seconds(self.postpone_for),
            "require": self.require or None,
            "window": self.window,
            "split": None if self.split is None else [word.strip() for word in self.split.split(",") if word.strip()],
            "install_takes_s": _seconds(self.install_takes),
            "ignore_blackout": self.ignore_blackout or None,
            "validate_s": _seconds(self.validate),
            "validate_events": self.validate_max_events,
            "approve": self.approve,
            "priority": self.priority,
            "download_only": self.download_only or None,
            "download": self.download,
            "max_in_flight": self.max_in_flight,
            "max_per_minute": self.max_per_minute,
            "max_per": self.max_per or None,
        }
        return _said(body)

    def _rate(self) -> dict[str, Any] | None:
        said = {
            "per_minute": self.rate,
            "factor": self.rate_factor,
            "every": self.rate_every,
            "counts": self.rate_counts,
            "maximum": self.rate_max,
            "aborts": [_abort(text) for text in self.abort or ()] or None,
        }
        if self.rate is None and any(value is not None for value in said.values()):
            raise InvalidInputError("a rate says how many devices are told in a minute", hint="Write --rate 50.")
        return None if self.rate is None else {key: value for key, value in said.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Wanted(How, Aim):
    """The options of a rollout that is to be."""

    start_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Start by itself then: 2026-05-01T04:00:00Z.", show_default=False),
    ] = None
    end_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Offer nothing new from then on: who has not been told is skipped.", show_default=False
        ),
    ] = None
    continuous: Annotated[
        bool, typer.Option("--continuous", help="Devices that match later join it, until it is stopped or expires.")
    ] = False
    after: Annotated[
        int | None,
        typer.Option(metavar="ID", min=1, help="Start when this rollout has finished well.", show_default=False),
    ] = None
    install_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="With --download-only: install it from then on: 2026-12-01T02:00:00Z.",
            show_default=False,
        ),
    ] = None
    forced_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="With --urgency soft: from then on forced (timeforced).", show_default=False),
    ] = None

    def body(self) -> dict[str, Any]:
        """The request for it.

        Raises:
            InvalidInputError: a value is not written as it should be.
        """
        values.release(self.release)
        own: dict[str, Any] = {
            "release": self.release,
            "target": self.target,
            "name": self.name or None,
            "start_at": _moment(self.start_at),
            "end_at": _moment(self.end_at),
            "continuous": self.continuous or None,
            "after": self.after,
            "install_at": _moment(self.install_at),
            "forced_at": _moment(self.forced_at),
        }
        return _said(own) | super().body()


@dataclass(frozen=True, kw_only=True)
class Standing(How, Stream):
    """The options of a standing order: a group follows a channel."""

    def body(self) -> dict[str, Any]:
        """The request for it.

        Raises:
            InvalidInputError: a value is not written as it should be.
        """
        return {"product": self.product, "channel": self.channel} | super().body()


def _said(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def _abort(text: str) -> dict[str, Any]:
    kind, _, rest = text.partition("=")
    share, at, minimum = rest.partition("@")
    if not kind or not at or not minimum.isascii() or not minimum.isdigit():
        raise InvalidInputError(f"{text!r} is no abort criterion", hint="Write --abort failed=20%@50.")
    return {"failure": kind, "threshold": round(values.share(share) * 100, 9), "minimum": int(minimum)}


def _share(text: str | None) -> float | None:
    return None if text is None else values.share(text)


def _seconds(text: str | None) -> float | None:
    return None if text is None else values.duration_s(text)


def _moment(text: str | None) -> str | None:
    return None if text is None else values.moment(text)
