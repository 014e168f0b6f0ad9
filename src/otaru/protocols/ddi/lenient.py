"""Reading the JSON that devices really send.

SWUpdate 2022.12 copies log lines into `details` without escaping them: raw line ends, unescaped quotes, now and then
bytes that are no UTF-8. So what is not JSON is read again, more and more leniently:

1. as it should be;
2. with control characters inside strings and broken UTF-8 allowed;
3. with the inside of `details` taken out and split by hand; everything around it must still be JSON.

Nothing else is guessed: a report that breaks off, or whose `execution` cannot be read, is refused.
"""

import json
import re
from typing import Any, TypeVar

import msgspec

from otaru.errors import InvalidInputError

T = TypeVar("T")

_DETAILS = re.compile(r'"details"\s*:\s*\[')
_BETWEEN = re.compile(r'"\s*,\s*"')


def read(body: bytes, shape: type[T], expected: str) -> T:
    """Read `body` as `shape`.

    Raises:
        InvalidInputError: it is not JSON, however leniently read, or not of this shape; the hint says what was expected.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise _refused(f"the body has another form: {error}", expected) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        document = _second_reading(body, expected)
    except RecursionError:
        raise _refused("the body is nested too deeply", expected) from None
    try:
        return msgspec.convert(document, type=shape)
    except msgspec.ValidationError as error:
        raise _refused(f"the body has another form: {error}", expected) from None


def clean(text: str) -> str:
    """`text` without what a database refuses: NUL and lone surrogates become the replacement character."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\0", "\ufffd")


def _second_reading(body: bytes, expected: str) -> Any:
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        document = _without_details(text)
        if document is None:
            raise _refused(f"the body is not JSON: {error}", expected) from None
        return document


def _without_details(text: str) -> Any | None:
    """The document with its `details` split by hand, or None where what is around them is no JSON either."""
    start = _DETAILS.search(text)
    end = text.rfind("]")
    if start is None or end < start.end():
        return None
    try:
        document = json.loads(text[: start.end()] + text[end:], strict=False)
    except (ValueError, RecursionError):
        return None
    if not (isinstance(document, dict) and isinstance(status := document.get("status"), dict)):
        return None
    inside = text[start.end() : end].strip().removeprefix('"').removesuffix('"')
    status["details"] = _BETWEEN.split(inside)
    return document


def _refused(what: str, expected: str) -> InvalidInputError:
    return InvalidInputError(what[:300], hint=f"Expected: {expected}")
