"""Values that are stored as JSON text: they are read back whole, never searched."""

import msgspec

from otaru.domain.device import AutoConfirm
from otaru.domain.rollout import Growth, Policy

_POLICY = msgspec.json.Decoder(Policy)
_GROWTH = msgspec.json.Decoder(Growth)
_AUTO_CONFIRM = msgspec.json.Decoder(AutoConfirm)
_TEXTS = msgspec.json.Decoder(tuple[str, ...])


def pack(value: Policy | Growth | AutoConfirm | tuple[str, ...]) -> str:
    """A value as it is stored."""
    return msgspec.json.encode(value).decode()


def unpack_policy(text: str) -> Policy:
    """A stored policy. Fields that it lacks, being older, take their defaults."""
    return _POLICY.decode(text)


def unpack_growth(text: str | None) -> Growth | None:
    """A stored shape, or None."""
    return None if text is None else _GROWTH.decode(text)


def unpack_auto_confirm(text: str | None) -> AutoConfirm | None:
    """A stored standing yes, or None."""
    return None if text is None else _AUTO_CONFIRM.decode(text)


def unpack_texts(text: str) -> tuple[str, ...]:
    """Several texts: the words of a report, the requirements of a release."""
    return _TEXTS.decode(text)
