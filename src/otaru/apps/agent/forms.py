"""What texts and numbers of `agent.toml` look like, and how that is said to whoever wrote something else."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

_FOLDER = r"\A/"
_GROUP = r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\Z"
_MIRROR = r"\Ahttps?://[!-z|~]+(?:\{sha256:2\}[!-z|~]*)?\{sha256\}[!-z|~]*\Z"
_MODE = r"\A0?[0-7]{3}\Z"
_NAME = r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z"
_PACKAGE = r"\A[a-z0-9][a-z0-9+.-]{1,127}\Z"
_SELECTION = r"\A[^,\s-][^,\s]*,[^,\s]+\Z"
_UNIT = r"\A[A-Za-z0-9:_.\\@-]{1,200}\.[a-z]{4,9}\Z"
_URL = r"\Ahttps?://[!-~]+\Z"
SAID: Mapping[str, str] = {
    _FOLDER: "an absolute path",
    _GROUP: "the name of a group",
    _MIRROR: "an http:// or https:// address with {sha256} in it",
    _MODE: "a mode, as 0660",
    _NAME: "a name: at most 128 of letters, digits, dots, lines and underscores",
    _PACKAGE: "the name of a Debian package",
    _SELECTION: "SOFTWARE,MODE",
    _UNIT: "a unit of systemd, as app.service",
    _URL: "an http:// or https:// address",
}
"""In words, by expression."""

Words = Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)]
"""A program and its arguments; no shell."""
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Name = Annotated[str, Meta(pattern=_NAME)]
Folder = Annotated[str, Meta(pattern=_FOLDER)]
"""An absolute path."""
Mirror = Annotated[str, Meta(pattern=_MIRROR, max_length=1024)]
"""An address with `{sha256}` in it."""
Package = Annotated[str, Meta(pattern=_PACKAGE)]
Selection = Annotated[str, Meta(pattern=_SELECTION, max_length=200)]
"""`SOFTWARE,MODE` of SWUpdate."""
Unit = Annotated[str, Meta(pattern=_UNIT)]
Url = Annotated[str, Meta(pattern=_URL, max_length=1024)]
Socket = Annotated[str, Meta(pattern=_FOLDER, max_length=100)]
Mode = Annotated[str, Meta(pattern=_MODE)]
Group = Annotated[str, Meta(pattern=_GROUP)]
