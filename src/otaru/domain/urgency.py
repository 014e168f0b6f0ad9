"""How much say a device has in the moment of its update; apart from rollouts, whose rules a device has no use for."""

from enum import StrEnum


class Urgency(StrEnum):
    """How much say the device has in the moment (hawkBit: forced, soft)."""

    FORCED = "forced"
    SOFT = "soft"
