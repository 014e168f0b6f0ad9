r"""Configuration documents: one file that holds several, each with the schema that it has to keep to, where it has one.

    {"otaru": "configuration", "documents": [
      {"name": "app.toml", "text": "port = 8080\n", "schema": {"type": "object", …}},
      {"name": "motd", "text": "Hello\n"}]}

A document's text is what comes to lie on the device, byte for byte. One with a schema is JSON or TOML, as its name ends. The
server reads such a file when a release is made of it, the device before it installs it; both by this module.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from otaru.images import schema as schemas
from otaru.images.facts import Facts, Format, Payload
from otaru.images.keys import Anchors
from otaru.images.reading import BrokenImageError, Reader

BEGINS = re.compile(rb'\s*\{\s*"otaru"\s*:\s*"configuration"')
MAX_SIZE = 1 << 20
"""Of the file, and so of all its documents."""
MAX_DOCUMENTS = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FORMS = {".json": "json", ".toml": "toml"}


@dataclass(frozen=True, slots=True)
class Document:
    """One document."""

    name: str
    text: str
    schema: Mapping[str, Any] | None = None

    @property
    def form(self) -> str:
        """`json`, `toml` or `text`, by its name."""
        return next((form for end, form in _FORMS.items() if self.name.endswith(end)), "text")

    @property
    def data(self) -> bytes:
        """What lies on the device."""
        return self.text.encode()

    @property
    def sha256(self) -> str:
        """Of what lies on the device."""
        return hashlib.sha256(self.data).hexdigest()


def pack(documents: Iterable[Document]) -> bytes:
    """The file of these documents, after all of them were checked.

    Raises:
        BrokenImageError: as `unpack` says.
    """
    told = [
        {"name": one.name, "text": one.text} | ({} if one.schema is None else {"schema": one.schema})
        for one in documents
    ]
    packed = json.dumps({"otaru": "configuration", "documents": told}, ensure_ascii=False, indent=1).encode() + b"\n"
    unpack(packed)
    return packed


def unpack(data: bytes) -> tuple[Document, ...]:
    """The documents of a file: each is what its schema says.

    Raises:
        BrokenImageError: it is no such file, or a document is not what its schema says; which, where and why.
    """
    if len(data) > MAX_SIZE:
        raise BrokenImageError(f"it has {len(data)} bytes; a configuration has at most {MAX_SIZE}")
    try:
        told = _json(data.decode(), "it")
    except UnicodeDecodeError:
        raise BrokenImageError("it is not UTF-8") from None
    if not isinstance(told, dict) or told.keys() != {"otaru", "documents"} or told["otaru"] != "configuration":
        raise BrokenImageError('it is no configuration, which has "otaru" and "documents" and nothing else')
    listed = told["documents"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_DOCUMENTS:
        raise BrokenImageError(f"a configuration has 1 to {MAX_DOCUMENTS} documents")
    found = tuple(_document(one) for one in listed)
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        raise BrokenImageError("two documents have the same name")
    for one in found:
        try:
            check(one, one.schema)
        except RecursionError:
            raise BrokenImageError(f"{one.name} nests too deep") from None
    return found


def check(document: Document, schema: object) -> None:
    """Check a document by a schema; None: it has only to be of its form.

    Raises:
        BrokenImageError: it is not what the schema says, or the schema is none.
    """
    if schema is None and document.form == "text":
        return
    value = _value(document)
    if schema is not None:
        schemas.check_schema(schema, f"the schema of {document.name}")
        schemas.check(value, schema, document.name)


def read(reader: Reader, _anchors: Anchors) -> Facts:
    """Read a file.

    Raises:
        BrokenImageError: as `unpack` says.
    """
    if reader.size > MAX_SIZE:
        raise BrokenImageError(f"it has {reader.size} bytes; a configuration has at most {MAX_SIZE}")
    documents = unpack(reader.head(0, reader.size, "the documents"))
    parts = tuple(
        Payload(
            one.name, len(one.data), one.sha256, f"{one.form}, by a schema" if one.schema else one.form, verified=True
        )
        for one in documents
    )
    return Facts(Format.CONFIGURATION, "1", payloads=parts)


def _document(told: object) -> Document:
    if not isinstance(told, dict) or not {"name", "text"} <= told.keys() <= {"name", "text", "schema"}:
        raise BrokenImageError("a document has a name, a text and maybe a schema, and nothing else")
    name, text, schema = told["name"], told["text"], told.get("schema")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith(".new"):
        raise BrokenImageError(
            f"{str(name)[:80]!r} is no document's name: letters, digits, dots, hyphens, no folders, no .new at its end"
        )
    if not isinstance(text, str) or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise BrokenImageError(f"{name}: its text is none")
    if "schema" in told and not isinstance(schema, dict):
        raise BrokenImageError(f"{name}: its schema is no object")
    return Document(name, text, schema)


def _value(document: Document) -> object:
    if document.form == "json":
        return _json(document.text, document.name)
    if document.form == "toml":
        return _toml(document)
    raise BrokenImageError(f"{document.name} has a schema, and is neither JSON nor TOML by its name")


def _json(text: str, what: str) -> Any:
    def constant(word: str) -> NoReturn:
        raise BrokenImageError(f"{what} holds {word}, which is no JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise BrokenImageError(f"{what} has a name twice in one object")
        return found

    try:
        return json.loads(text, parse_constant=constant, object_pairs_hook=once)
    except BrokenImageError:
        raise
    except (ValueError, RecursionError) as error:
        raise BrokenImageError(f"{what} is no JSON: {error}") from None


def _toml(document: Document) -> dict[str, Any]:
    try:
        found = tomllib.loads(document.text)
    except (ValueError, RecursionError) as error:
        raise BrokenImageError(f"{document.name} is no TOML: {error}") from None
    waiting: list[object] = [found]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif document.schema is not None and not isinstance(one, str | int | float):
            raise BrokenImageError(f"{document.name} has a date or a time, which JSON has not: write it as text")
    return found
