"""What time it is, for a device whose clock may be lost, wrong or lied to.

Expiry is what ends a freeze, so time must not go backwards: the state's `time` is a floor. The floor rises only with a
moment at which signed metadata was fresh (`verify`), never with a clock alone. So whoever sets a device's clock ten years
ahead makes it refuse updates as long as he can do that, and not for ever; whoever sets it back gains nothing.
"""

from datetime import datetime

from otaru.trust.verify.state import State


def trusted_time(state: State, built: datetime, *clocks: datetime | None) -> datetime:
    """The time to verify with: the latest of the floor, the software's build time and what clocks say.

    A clock is the RTC, or a server's `Date` where its certificate was verified; None where there is none.
    """
    return max(state.time, built, *(clock for clock in clocks if clock is not None))
