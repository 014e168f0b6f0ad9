"""What the server asks of a process that makes deltas, and what that answers."""

import msgspec

from otaru.images.delta.patch import Codec
from otaru.images.facts import Format


class Request(msgspec.Struct, frozen=True):
    """What to do, with which descriptors, and what it may take."""

    source: int
    source_size: int
    target: int
    target_size: int
    patch: int
    codec: Codec
    window: int | None
    form: Format
    memory: int
    cpu_s: int
    apply: bool = False


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of it: numbers, or why there are none."""

    size: int | None = None
    full: int | None = None
    memory: int | None = None
    useless: str | None = None
    failed: str | None = None
