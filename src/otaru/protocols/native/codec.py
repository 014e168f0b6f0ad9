"""Bytes ↔ the values of `domain.link`. Decoders raise InvalidInputError and nothing else.

The maps are the same in both forms, down to moments, which are text: `2026-05-01T04:00:00Z`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import TypeVar

import msgspec

from otaru.domain import ids
from otaru.domain.deployment import State
from otaru.domain.device import Merge
from otaru.domain.errand import SAID, Asked, Monitoring, Went, What
from otaru.domain.errand import State as ErrandState
from otaru.domain.ids import ActionId, RolloutId, Sha256
from otaru.domain.link import (
    SPOKEN,
    Answer,
    Batch,
    Consent,
    File,
    Heard,
    Note,
    Offer,
    Opening,
    Patch,
    Told,
)
from otaru.errors import InvalidInputError
from otaru.protocols.ddi.lenient import clean
from otaru.protocols.native import wire

T = TypeVar("T")

MAX_BATCH = 256 * 1024
"""Bytes of a body with notes."""
MAX_DECISION = 4096
MAX_DESCRIPTION = 1024 * 1024
MAX_ERRANDS = 256 * 1024
_KNOWN = frozenset(What)
MAX_TOLD = 1024 * 1024
"""Bytes of an answer."""


class Form(StrEnum):
    """How the maps are written: media types."""

    JSON = "application/json"
    MSGPACK = "application/msgpack"


_MSGPACK_TOO = frozenset({"application/vnd.msgpack", "application/x-msgpack"})


def form_of(media_type: str | None) -> Form:
    """The form that a Content-Type names; without one it is JSON.

    Raises:
        InvalidInputError: it names neither.
    """
    name = (media_type or Form.JSON).partition(";")[0].strip().lower()
    if name in _MSGPACK_TOO:
        return Form.MSGPACK
    try:
        return Form(name)
    except ValueError:
        raise InvalidInputError(
            f"{name[:64]!r} is not a form of this road", hint=f"Send {Form.JSON} or {Form.MSGPACK}."
        ) from None


def wanted_form(accept: str | None) -> Form:
    """The form that an Accept asks for: MessagePack where it is named, JSON otherwise."""
    names = {part.partition(";")[0].strip().lower() for part in (accept or "").split(",")}
    return Form.MSGPACK if names & {str(Form.MSGPACK), *_MSGPACK_TOO} else Form.JSON


def told(value: Told, form: Form, notes: list[Heard] | None = None) -> bytes:
    """The answer to a poll, with what became of the notes that came with it."""
    heard = None if notes is None else _heard_out(notes)
    offer = None if value.offer is None else _offer_out(value.offer)
    said = wire.Told(
        _seconds(value.poll_after),
        offer,
        value.cancel,
        value.describe,
        [wire.Errand(one.number, one.what, one.name, _moment(one.expires_at)) for one in value.errands],
        None if value.monitoring is None else _monitoring_out(value.monitoring),
        heard,
    )
    return _encode(said, form)


def read_told(body: bytes, form: Form) -> tuple[Told, list[Heard]]:
    """Read the answer to a poll."""
    found = _decode(body, wire.Told, form)
    offer = None if found.offer is None else _offer_in(found.offer)
    cancel = None if found.cancel is None else ActionId(found.cancel)
    errands = tuple(
        Asked(one.number, What(one.what), one.name, _time(one.expires_at))
        for one in found.errands
        if one.what in _KNOWN  # of others it is said nothing: a server that is newer lets them expire
    )
    monitoring = None if found.monitoring is None else _monitoring_in(found.monitoring)
    told = Told(_span(found.poll_after_s), offer, cancel, found.describe, errands, monitoring)
    return told, _heard_in(found.notes or [])


def kept(notes: list[Heard], form: Form) -> bytes:
    """What became of notes."""
    return _encode(wire.Kept(_heard_out(notes)), form)


def read_kept(body: bytes, form: Form) -> list[Heard]:
    """Read what became of notes."""
    return _heard_in(_decode(body, wire.Kept, form).notes)


def batch(said: Batch, form: Form) -> bytes:
    """What a device says."""
    return _encode(wire.Batch([_note_out(note) for note in said.notes], dict(said.installed)), form)


def read_batch(body: bytes, form: Form) -> Batch:
    """Read what a device says."""
    found = _decode(body, wire.Batch, form)
    installed = {ids.name(component): ids.version(version) for component, version in found.installed.items()}
    return Batch(tuple(map(_note_in, found.notes)), installed)


def decision(action: ActionId, answer: Answer, until: datetime | None, reason: str, form: Form) -> bytes:
    """What a device's owner says."""
    return _encode(wire.Decision(action, answer, _moment(until), reason), form)


def read_decision(body: bytes, form: Form) -> tuple[ActionId, Answer, datetime | None, str]:
    """Read what a device's owner says.

    Raises:
        InvalidInputError: also where `until` does not go with the answer.
    """
    found = _decode(body, wire.Decision, form)
    if (found.answer is Answer.POSTPONE) != (found.until is not None):
        raise InvalidInputError("who postpones says until when, and nobody else does")
    return ActionId(found.action), found.answer, _time(found.until), clean(found.reason)


def decided(state: State, form: Form) -> bytes:
    """Where an action is after its owner's answer."""
    return _encode(wire.Decided(state), form)


def read_decided(body: bytes, form: Form) -> State:
    """Read where an action is."""
    return _decode(body, wire.Decided, form).state


def description(attributes: Mapping[str, str], mode: Merge, form: Form) -> bytes:
    """What a device says of itself."""
    return _encode(wire.Description(dict(attributes), mode), form)


def read_description(body: bytes, form: Form) -> tuple[dict[str, str], Merge]:
    """Read what a device says of itself."""
    found = _decode(body, wire.Description, form)
    return {clean(name): clean(value) for name, value in found.attributes.items()}, found.mode


def errands(said: Sequence[Went], form: Form) -> bytes:
    """What a device says of its errands."""
    return _encode(wire.Errands([wire.Went(one.number, one.state, one.code, one.text) for one in said]), form)


def read_errands(body: bytes, form: Form) -> list[Went]:
    """Read what a device says of its errands."""
    found = _decode(body, wire.Errands, form).errands
    for one in found:
        if one.state not in SAID:
            raise InvalidInputError(f"a device does not say {one.state}", hint=f"It says one of {', '.join(SAID)}.")
    return [Went(one.number, one.state, one.code, clean(one.output)) for one in found]


def standing(states: Sequence[tuple[int, ErrandState | None]], form: Form) -> bytes:
    """Where errands stand."""
    return _encode(wire.Standing([wire.Stands(number, state) for number, state in states]), form)


def read_standing(body: bytes, form: Form) -> dict[int, ErrandState | None]:
    """Read where errands stand, by number."""
    return {one.number: one.state for one in _decode(body, wire.Standing, form).errands}


def received(size: int, form: Form) -> bytes:
    """How many bytes of diagnostics are here."""
    return _encode(wire.Received(size), form)


def read_received(body: bytes, form: Form) -> int:
    """Read how many bytes of diagnostics the server has."""
    return _decode(body, wire.Received, form).received


def _encode(shape: msgspec.Struct, form: Form) -> bytes:
    return msgspec.json.encode(shape) if form is Form.JSON else msgspec.msgpack.encode(shape)


def _decode(body: bytes, shape: type[T], form: Form) -> T:
    try:
        if form is Form.JSON:
            return msgspec.json.decode(body, type=shape)
        return msgspec.msgpack.decode(body, type=shape)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        what = str(error).encode("ascii", "replace").decode()[:200]
        raise InvalidInputError(
            f"the body has another form: {what}", hint="docs/connect/native.md says what is expected."
        ) from None


def _heard_out(notes: list[Heard]) -> list[wire.Heard]:
    return [wire.Heard(one.id, one.state) for one in notes]


def _heard_in(notes: list[wire.Heard]) -> list[Heard]:
    return [Heard(one.id, one.state) for one in notes]


def _note_out(note: Note) -> wire.Note:
    progress = None if note.done is None or note.of is None else wire.Progress(note.done, note.of)
    return wire.Note(
        note.id,
        note.action,
        note.event,
        note.code,
        list(note.text),
        progress,
        None if note.at is None else _moment(note.at),
    )


def _note_in(found: wire.Note) -> Note:
    if found.event is not None and found.event not in SPOKEN:
        raise InvalidInputError(
            f"a device does not say {found.event}", hint=f"It says one of {', '.join(sorted(SPOKEN))}."
        )
    done, of = (None, None) if found.progress is None else (found.progress.done, found.progress.of)
    return Note(
        found.id,
        ActionId(found.action),
        found.event,
        found.code,
        tuple(map(clean, found.text)),
        done,
        of,
        _time(found.at),
    )


def _offer_out(offer: Offer) -> wire.Offer:
    return wire.Offer(
        action=offer.action,
        rollout=offer.rollout,
        product=offer.product,
        version=offer.version,
        type=offer.type,
        files=[_file_out(file) for file in offer.files],
        urgency=offer.urgency,
        forced_at=_moment(offer.forced_at),
        notes=offer.notes[: wire.MAX_RELEASE_NOTES],
        consent=None if offer.consent is None else _consent_out(offer.consent),
        conditions=list(offer.conditions),
        window=None if offer.window is None else _window_out(offer.window),
        takes_s=_seconds(offer.takes),
        validate_s=_seconds(offer.validate),
        hold=offer.hold,
    )


def _offer_in(found: wire.Offer) -> Offer:
    return Offer(
        action=ActionId(found.action),
        rollout=RolloutId(found.rollout),
        product=ids.product_name(found.product),
        version=ids.version(found.version),
        type=found.type,
        files=tuple(map(_file_in, found.files)),
        urgency=found.urgency,
        forced_at=_time(found.forced_at),
        notes=found.notes,
        consent=None if found.consent is None else _consent_in(found.consent),
        conditions=tuple(found.conditions),
        window=None
        if found.window is None
        else Opening(found.window.open, _time(found.window.closes_at), _time(found.window.opens_at)),
        takes=_span(found.takes_s),
        validate=_span(found.validate_s),
        hold=found.hold,
    )


def _consent_out(consent: Consent) -> wire.Consent:
    return wire.Consent(
        consent.state,
        _moment(consent.until),
        _moment(consent.automatic_at),
        consent.postponements,
        _seconds(consent.longest),
    )


def _consent_in(found: wire.Consent) -> Consent:
    return Consent(
        found.state, _time(found.until), _time(found.automatic_at), found.postponements, _span(found.longest_s)
    )


def _window_out(window: Opening) -> wire.Window:
    return wire.Window(window.is_open, _moment(window.closes_at), _moment(window.opens_at))


def _file_out(file: File) -> wire.File:
    return wire.File(
        component=file.component,
        hardware=file.hardware,
        filename=file.filename,
        size=file.size,
        sha256=file.sha256,
        installer=file.installer,
        addresses=list(file.addresses),
        patches=[_patch_out(patch) for patch in file.patches],
    )


def _patch_out(patch: Patch) -> wire.Patch:
    return wire.Patch(
        path=patch.path,
        source=patch.source,
        form=patch.form,
        sha256=patch.sha256,
        size=patch.size,
        memory=patch.memory,
        addresses=list(patch.addresses),
    )


def _file_in(found: wire.File) -> File:
    return File(
        component=ids.name(found.component),
        hardware=found.hardware,
        filename=found.filename,
        size=found.size,
        sha256=Sha256(found.sha256),
        installer=found.installer,
        addresses=tuple(found.addresses),
        patches=tuple(
            Patch(Sha256(p.source), p.form, Sha256(p.sha256), p.size, p.memory, tuple(p.addresses), p.path)
            for p in found.patches
        ),
    )


def _monitoring_out(said: Monitoring) -> wire.Monitoring:
    return wire.Monitoring(None if said.period is None else _seconds(said.period), list(said.off))


def _monitoring_in(found: wire.Monitoring) -> Monitoring:
    return Monitoring(None if found.period_s is None else _span(found.period_s), tuple(found.off))


def _moment(at: datetime | None) -> str | None:
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="microseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        found = at.astimezone(UTC) if at.tzinfo is not None else None
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise InvalidInputError(f"{text[:40]!r} is not a time", hint="Write 2026-05-01T04:00:00Z.")
    return found


def _seconds(span: timedelta) -> int:
    """Rounded up: who waits so long waits long enough."""
    return ceil(span.total_seconds())


def _span(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)
