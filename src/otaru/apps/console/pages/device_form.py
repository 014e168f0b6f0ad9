"""The forms of a device: add one, change one. What was typed stays, and what is wrong stands beside its field."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TypeVar

from starlette.responses import Response

from otaru.apps.console.call import Call
from otaru.apps.console.pages.device import device_of, page_of, show_token
from otaru.domain import ids
from otaru.domain.device import (
    MAX_ATTRIBUTE_VALUE,
    MAX_ATTRIBUTES,
    MAX_TAGS,
    Assurance,
    Device,
    Hardware,
    Lifecycle,
    hardware,
)
from otaru.domain.ids import DeviceId
from otaru.errors import (
    AlreadyExistsError,
    InvalidInputError,
    InvalidStateError,
    PreconditionFailedError,
    TooLargeError,
)
from otaru.services.control import devices, survey
from otaru.services.control.devices import Change, NewDevice

T = TypeVar("T")

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Control characters that no value holds; lines and tabs it may."""
_MAX_EDITION = 15
"""Digits."""


@dataclass(frozen=True, slots=True)
class Row:
    """An attribute in the form: as it was when the form was opened, and as it is typed."""

    name: str = ""
    value: str = ""
    was_name: str = ""
    was_value: str = ""
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """What is typed, and what is wrong with it by field."""

    id: str = ""
    hardware: str = ""
    tags: str = ""
    rows: Sequence[Row] = ()
    edition: str = ""
    assurance: str = ""
    wrong: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Read:
    """A form as it was understood; None where something is wrong."""

    form: Form
    id: DeviceId | None
    hardware: Hardware | None
    tags: frozenset[str] | None
    attributes: Mapping[str, str] | None
    assurance: Assurance | None


async def new(call: Call) -> Response:
    """The empty form."""
    return await call.show("device_new.html", form=Form(), limits=_LIMITS)


async def add(call: Call) -> Response:
    """Add a device; its token is shown in the answer, and nowhere else."""
    read = _read(await call.lists(), tell_id=True)
    wrong = dict(read.form.wrong)
    if read.id is not None and read.hardware is not None and read.tags is not None and read.attributes is not None:
        try:
            wanted = NewDevice(read.id, read.hardware, read.tags, read.attributes)
            added = await devices.add(call.world, call.tenant, call.actor, wanted)
            return await show_token(call, read.id, added.token, fresh=True)
        except AlreadyExistsError:
            wrong["id"] = "There is a device of this id already, or was: ids are never given twice."
        except TooLargeError as error:
            wrong["form"] = _words(error)
    return await call.show("device_new.html", 422, form=_with(read.form, wrong), limits=_LIMITS)


async def edit(call: Call) -> Response:
    """The form, filled with what is known."""
    known = (await survey.device(call.world, call.tenant, device_of(call))).device
    return await _edit(call, known, _form_of(known), 200)


async def save(call: Call) -> Response:
    """Change a device: only what was changed in the form, and only if nobody else has changed it meanwhile."""
    name = device_of(call)
    sent = await call.lists()
    read = _read(sent, tell_id=False)
    wrong, status = dict(read.form.wrong), 422
    edition = read.form.edition
    if not (edition.isascii() and edition.isdigit() and len(edition) <= _MAX_EDITION):
        raise InvalidInputError("the form does not say which edition it changes", hint="Open the page again.")
    understood = read.hardware is not None and read.tags is not None and read.attributes is not None
    if understood and "assurance" not in wrong:
        changed = Change(read.hardware, read.tags, _changes(read.form.rows), assurance=read.assurance)
        try:
            await devices.change(call.world, call.tenant, call.actor, name, changed, int(edition))
            return call.lead(page_of(name))
        except PreconditionFailedError:
            wrong["edition"], status = "yes", 412
        except InvalidStateError as error:
            wrong["form"], status = _words(error), 409
        except TooLargeError as error:
            wrong["form"] = _words(error)
    known = (await survey.device(call.world, call.tenant, name)).device
    return await _edit(call, known, _with(read.form, wrong), status)


_LEVELS = {
    Assurance.L1: "the signature of its installer only",
    Assurance.L2: "both repositories, in full",
    Assurance.L3: "that, and the release log",
}
_LIMITS = {"tags": MAX_TAGS, "attributes": MAX_ATTRIBUTES, "value": MAX_ATTRIBUTE_VALUE}


async def _edit(call: Call, known: Device, form: Form, status: int) -> Response:
    gone = known.lifecycle is Lifecycle.DECOMMISSIONED
    return await call.show(
        "device_edit.html",
        status,
        device=known,
        here=page_of(known.id),
        form=form,
        gone=gone,
        limits=_LIMITS,
        levels=_LEVELS,
    )


def _form_of(known: Device) -> Form:
    rows = [Row(name, value, name, value) for name, value in sorted(known.attributes.items())]
    return Form(
        known.id,
        str(known.hardware),
        " ".join(sorted(known.tags)),
        rows,
        str(known.edition),
        str(known.assurance),
    )


def _with(form: Form, wrong: Mapping[str, str]) -> Form:
    return replace(form, wrong=wrong)


def _words(error: InvalidInputError | InvalidStateError | TooLargeError) -> str:
    words = error.message[:1].upper() + error.message[1:]
    return f"{words}. {error.hint}" if error.hint else f"{words}."


def _read(sent: Mapping[str, list[str]], *, tell_id: bool) -> _Read:
    def typed(name: str) -> str:
        return sent.get(name, [""])[-1].strip()

    wrong: dict[str, str] = {}

    def understood(name: str, text: str, parse: Callable[[str], T]) -> T | None:
        try:
            return parse(text)
        except (InvalidInputError, TooLargeError) as error:
            wrong[name] = _words(error)
            return None

    rows = _rows(sent)
    device = understood("id", typed("id"), ids.device_id) if tell_id else None
    model = understood("hardware", typed("hardware"), hardware)
    tags = understood("tags", typed("tags"), _tags)
    assurance = understood("assurance", typed("assurance"), _assurance) if typed("assurance") else None
    fine = not any(row.wrong for row in rows)
    attributes = {row.name: row.value for row in rows} if fine else None
    form = Form(typed("id"), typed("hardware"), typed("tags"), rows, typed("edition"), typed("assurance"), wrong)
    return _Read(form, device, model, tags, attributes, assurance)


def _assurance(text: str) -> Assurance:
    try:
        return Assurance(text)
    except ValueError:
        raise InvalidInputError(f"{text!r} is not a level") from None


def _tags(text: str) -> frozenset[str]:
    names = [ids.name(word) for word in re.split(r"[\s,]+", text) if word]
    if len(set(names)) > MAX_TAGS:
        raise TooLargeError(f"{len(set(names))} tags, {MAX_TAGS} are allowed", limit=MAX_TAGS)
    return frozenset(names)


def _rows(sent: Mapping[str, list[str]]) -> Sequence[Row]:
    """The attributes that the form holds; rows that are and were empty are left out."""
    columns = [sent.get(name, []) for name in ("name", "value", "was_name", "was_value")]
    rows: list[Row] = []
    seen: set[str] = set()
    for name, value, was_name, was_value in zip_longest(*columns, fillvalue=""):
        # Browsers send the ends of lines as CR LF.
        row = Row(name.strip(), value.replace("\r\n", "\n"), was_name, was_value.replace("\r\n", "\n"))
        if row.name or (row.value and not was_name):
            rows.append(_checked(row, seen))
            seen.add(row.name)
        elif was_name:
            rows.append(row)  # its name was cleared: it goes
    return rows


def _checked(row: Row, seen: set[str]) -> Row:
    wrong = ""
    try:
        ids.name(row.name)
    except InvalidInputError as error:
        wrong = "An attribute needs a name." if not row.name else _words(error)
    if row.name in seen:
        wrong = f"There are two of the name {row.name}."
    elif len(row.value) > MAX_ATTRIBUTE_VALUE:
        wrong = f"The value has {len(row.value)} characters, {MAX_ATTRIBUTE_VALUE} are allowed."
    elif _NO_TEXT.search(row.value):
        wrong = "The value holds a control character."
    return Row(row.name, row.value, row.was_name, row.was_value, wrong)


def _changes(rows: Sequence[Row]) -> Mapping[str, str | None]:
    """What the form changes. What was not touched is left out: the device itself may have told it anew meanwhile."""
    changes: dict[str, str | None] = {row.was_name: None for row in rows if row.was_name and row.was_name != row.name}
    changes |= {
        row.name: row.value for row in rows if row.name and (row.name, row.value) != (row.was_name, row.was_value)
    }
    return changes
