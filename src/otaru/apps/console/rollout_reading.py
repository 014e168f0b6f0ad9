"""A form of a new rollout as an intention: policy, shape and start. Wrong fields are told, never raised."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from otaru.apps.console import rollout_fields as fields
from otaru.apps.console.rollout_form import Draft, Form, Judging, Mode, When, growth, typed
from otaru.domain.health import MEASURES
from otaru.domain.rollout import (
    ALPHA,
    DEFAULT_RULE,
    Approve,
    ClassicRule,
    Download,
    Growth,
    Install,
    Limits,
    OnError,
    Policy,
    RateRule,
    SequentialRule,
    Urgency,
    check,
    check_rate,
)
from otaru.domain.schedule import window
from otaru.errors import InvalidInputError
from otaru.services.control.rollouts import Intention

_SIMPLE = Policy()
_RATE = RateRule(base=50, factor=2.0, every=1000)
_NONE = timedelta(0)
_SOME = window("00:00/1h")


def read(sent: Mapping[str, str], now: datetime) -> Draft:
    """What a form, or an address, says. Nothing is raised: what is wrong stands beside its field."""
    form = Form(typed(sent))
    named = form.read("release", fields.release, None)
    target = form.read("target", fields.target(now), None)
    when = form.read("when", fields.one_of(When), When.PLAN)
    start_at = form.read("start_at", fields.to_come(now), None) if when is When.AT else None
    name, reason = form.read("name", fields.name, ""), form.read("reason", fields.reason, "")
    mode = form.read("mode", fields.one_of(Mode), Mode.SIMPLE)
    policy, shape = _policy(form, mode, now), growth(form, mode)
    policy = replace(policy, after=form.read("after", fields.rollout, None) if when is When.AFTER else None)
    install = _install(form, policy, now)
    _check_together(form, policy)
    intention = None
    if named is not None and target is not None:
        start = when is When.NOW
        intention = Intention(*named, target, policy, name, start_at, start, shape, reason, install=install)
    return Draft(form.typed, form.wrong, form.column, intention)


def read_standing(sent: Mapping[str, str], now: datetime) -> tuple[Draft, Policy, Growth | None, str]:
    """What a form says of how the rollouts of a standing order go about it: policy, shape and reason.

    It has no fields for what holds for one rollout alone; what is wrong stands beside its field.
    """
    once = {"split": "", "forced_at": "", "end_at": "", "install_at": "", "continuous": "yes"}
    form = Form(typed({**sent, **once}))
    mode = form.read("mode", fields.one_of(Mode), Mode.SIMPLE)
    policy, shape = _policy(form, mode, now), growth(form, mode)
    reason = form.read("reason", fields.reason, "")
    _check_together(form, policy)
    return Draft({**form.typed, "continuous": ""}, form.wrong), policy, shape, reason


def _policy(form: Form, mode: Mode, now: datetime) -> Policy:
    policy = replace(_manner(form, now), limits=_limits(form))
    if mode is Mode.SIMPLE:
        return policy
    judging = form.read("judge", fields.one_of(Judging), Judging.CLASSIC)
    rate = mode is Mode.RATE
    policy = policy if rate else _complete(form, policy)
    return replace(
        policy,
        waves=form.read("waves", fields.waves, _SIMPLE.waves) if mode is Mode.WAVES else _SIMPLE.waves,
        split=form.read("split", fields.split, ()),
        rule=_rule(form) if judging is Judging.CLASSIC and not rate else None,
        sequential=_sequential(form) if judging is Judging.SEQUENTIAL and not rate else None,
        rate=_rate(form) if rate else None,
        on_error=form.read("on_error", fields.one_of(OnError), OnError.PAUSE),
    )


def _complete(form: Form, policy: Policy) -> Policy:
    """With when a wave is complete."""
    return replace(
        policy,
        quorum=form.read("quorum", fields.percent(lambda p: Policy(quorum=p)), 1.0),
        observe=form.read("observe", fields.span(lambda span: Policy(observe=span)), None) or _NONE,
        wave_timeout=form.read("wave_timeout", fields.span(lambda span: Policy(wave_timeout=span)), None),
    )


def _manner(form: Form, now: datetime) -> Policy:
    """What counts in every mode."""
    urgency = form.read("urgency", fields.one_of(Urgency), Urgency.FORCED)
    moment = fields.unless_empty(fields.to_come(now))
    found = Policy(
        urgency=urgency,
        forced_at=form.read("forced_at", moment, None) if urgency is Urgency.SOFT else None,
        conditions=form.read("require", fields.conditions, ()),
        window=form.read("window", fields.window, None),
        install_takes=form.read(
            "install_takes", fields.span(lambda span: Policy(install_takes=span, window=_SOME)), None
        )
        or _NONE,
        download=form.read("download", fields.one_of(Download), Download.IN_WINDOW),
        download_only=bool(form.typed["download_only"]),
        ignore_blackout=bool(form.typed["ignore_blackout"]),
        validate=form.read("validate", fields.span(lambda span: Policy(validate=span or _NONE)), None) or _NONE,
        validate_events=form.read(
            "validate_events", fields.number(lambda n: check(Policy(validate_events=n))), _SIMPLE.validate_events
        ),
        priority=form.read("priority", fields.number(lambda n: check(Policy(priority=n))), _SIMPLE.priority),
        continuous=bool(form.typed["continuous"]),
        approve=form.read("approve", fields.one_of(Approve), Approve.NONE),
        end_at=form.read("end_at", moment, None),
        expires_after=form.read("expires", fields.span(lambda span: Policy(expires_after=span)), None),
    )
    if found.window is None:  # what is of the window says nothing without one
        found = replace(found, install_takes=_NONE, download=Download.IN_WINDOW)
    return _asking(form, found) if form.typed["consent"] else found


def _install(form: Form, policy: Policy, now: datetime) -> Install | None:
    """The order to install what was only downloaded, where it is given with the plan."""
    at = form.read("install_at", fields.unless_empty(fields.to_come(now)), None) if policy.download_only else None
    return None if at is None else Install(at)


def _asking(form: Form, policy: Policy) -> Policy:
    """With what counts where somebody is asked first."""
    deadline = fields.span(lambda span: Policy(consent=True, consent_deadline=span))
    postponed = fields.span(lambda span: Policy(consent=True, postpone_for=span))
    return replace(
        policy,
        consent=True,
        consent_deadline=form.read("consent_deadline", deadline, None),
        postponements=form.read(
            "postponements",
            fields.number(lambda n: check(Policy(consent=True, postponements=n))),
            _SIMPLE.postponements,
        ),
        postpone_for=_SIMPLE.postpone_for if (span := form.read("postpone_for", postponed, None)) is None else span,
    )


def _limits(form: Form) -> Limits:
    in_flight = fields.unless_empty(fields.number(lambda n: check(Policy(limits=Limits(in_flight=n)))))
    per_minute = fields.unless_empty(fields.number(lambda n: check(Policy(limits=Limits(per_minute=n)))))
    return Limits(
        form.read("max_in_flight", in_flight, None),
        form.read("max_per_minute", per_minute, None),
        form.read("max_per", fields.places, ()),
    )


def _rule(form: Form) -> ClassicRule:
    success = fields.percent(lambda p: Policy(rule=ClassicRule(p, 0)))
    error = fields.percent(lambda p: Policy(rule=ClassicRule(1, p)))
    return ClassicRule(
        form.read("success", success, DEFAULT_RULE.success), form.read("error", error, DEFAULT_RULE.error)
    )


def _sequential(form: Form) -> SequentialRule:
    alpha = form.read("alpha", fields.percent(lambda p: Policy(sequential=SequentialRule(p))), ALPHA)
    return SequentialRule(alpha, telemetry=form.read("telemetry", fields.measures, MEASURES))


def _rate(form: Form) -> RateRule:
    def succeeded(text: str) -> bool:
        if text in {"notified", "succeeded"}:
            return text == "succeeded"
        raise InvalidInputError(f"{text[:40]!r} is neither notified nor succeeded")

    def of(name: str, make: Callable[[int], RateRule], otherwise: int) -> int:
        return form.read(name, fields.number(lambda n: check_rate(make(n))), otherwise)

    def factor_of(number: float) -> None:
        check_rate(replace(_RATE, factor=number))

    return RateRule(
        base=of("rate", lambda n: replace(_RATE, base=n), _RATE.base),
        factor=form.read("rate_factor", fields.decimal(factor_of), _RATE.factor),
        every=of("rate_every", lambda n: replace(_RATE, every=n), _RATE.every),
        succeeded=form.read("rate_counts", succeeded, otherwise=False),
        maximum=of("rate_max", lambda n: replace(_RATE, base=1, maximum=n), _RATE.maximum),
        aborts=form.read("abort", fields.aborts, ()),
    )


_TOGETHER: tuple[tuple[str, Callable[[Policy], Policy]], ...] = (
    ("on_error", lambda p: Policy(sequential=p.sequential, on_error=p.on_error)),
    ("continuous", lambda p: Policy(split=p.split, continuous=p.continuous)),
    ("wave_timeout", lambda p: Policy(validate=p.validate, wave_timeout=p.wave_timeout)),
    ("expires", lambda p: Policy(validate=p.validate, expires_after=p.expires_after)),
    ("abort", lambda p: Policy(rate=p.rate and replace(p.rate, base=1, maximum=1))),
    ("rate_max", lambda p: Policy(rate=p.rate)),
    ("download_only", lambda p: Policy(rate=p.rate, download_only=p.download_only)),
    ("", lambda p: p),
)
"""What makes sense alone and not beside the rest: the field that is told so, and that part of the policy."""


def _check_together(form: Form, policy: Policy) -> None:
    for name, part in _TOGETHER:
        try:
            check(part(policy))
        except InvalidInputError as error:
            form.blame(name, error)
            return
