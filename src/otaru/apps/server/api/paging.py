"""Cursors: where the next page begins, opaque to clients, so that we may change what they hold."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Depends, Query

from otaru.apps.server.api.models.fields import Out, WholeNumber
from otaru.errors import InvalidInputError

T = TypeVar("T")
R = TypeVar("R")

MAX_CURSOR = 1024

Limit = Annotated[WholeNumber, Query(ge=1, le=1000, description="How many items at most.")]


class Items(Out, Generic[T]):
    """A page of a list. `next` is the cursor of the page after it, null on the last one."""

    items: list[T]
    next: str | None


def encode(*key: str | int) -> str:
    """The cursor that stands after the item with this key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def decode(cursor: str, *parsers: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The key in a cursor, each part by its parser.

    Raises:
        InvalidInputError: it is none of ours, or none of this list.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key = msgspec.json.decode(raw, type=list[str | int])
        return tuple(parse(part) for parse, part in zip(parsers, key, strict=True))
    except (ValueError, TypeError, binascii.Error, msgspec.MsgspecError, InvalidInputError):
        raise InvalidInputError(
            "the cursor is none of this list's", hint="Send what `next` of the page before it says."
        ) from None


def text(parse: Callable[[str], T]) -> Callable[[Any], T]:
    """Parses a part of a key that is text."""

    def parser(part: Any) -> T:
        if not isinstance(part, str):
            raise TypeError
        return parse(part)

    return parser


def number(part: Any) -> int:
    """Parses a part of a key that is a number."""
    if not isinstance(part, int) or not 0 <= part < 2**63:
        raise ValueError
    return part


class Paging:
    """A request's wish for a page."""

    def __init__(self, limit: int, cursor: str | None = None) -> None:
        self.limit = limit
        self.cursor = cursor

    def after(self, *parsers: Callable[[Any], Any]) -> tuple[Any, ...] | None:
        """The key to begin after; None for the first page."""
        return None if self.cursor is None else decode(self.cursor, *parsers)

    def page(
        self, found: Sequence[T], show: Callable[[T], R], key: Callable[[T], tuple[str | int, ...]]
    ) -> tuple[list[R], str | None]:
        """Items of what was found when one more than `limit` was asked for, and the cursor of the next page."""
        shown, following = self.cut(found, key)
        return [show(item) for item in shown], following

    def cut(self, found: Sequence[T], key: Callable[[T], tuple[str | int, ...]]) -> tuple[Sequence[T], str | None]:
        """As `page`, the items as they are."""
        shown = found[: self.limit]
        return shown, encode(*key(shown[-1])) if len(found) > self.limit else None


async def paging(
    limit: Limit = 100,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR, description="The page before's `next`.")] = None,
) -> Paging:
    """What a request's query wishes."""
    return Paging(limit, cursor)


Wanted = Annotated[Paging, Depends(paging)]
