"""Hours in which the fleet hardly spoke, and the outcomes that are excused for them.

Who is being updated when the network fails may fail of that, in a good release as in a bad one; what is tolerated was
learned from the past and knows nothing of the moment. So these outcomes count on neither side. An hour is *dark* by the
contacts of devices that were told of nothing: the release cannot darken one, and no outcome has a say.

Nor may an outcome say who is excused: where failures end sooner than successes do, to excuse only those who had not ended
would leave the failures. So of those who were told in one hour all are excused together, unless few of them were under way:
leaving these few out moves a failure rate by a ninth of itself at most.
"""

from collections.abc import Mapping
from statistics import median

from otaru.analysis.tolerance import NOTHING, Count
from otaru.domain.deployment import FAILURES, State
from otaru.domain.evidence import Cohort, Span
from otaru.domain.health import Heard, Hush, Sign

HARDLY = 0.1
"""Dark is an hour in which less than this share came of those who usually do."""
FEW = 0.1
"""Of those told in one hour so many may be under way without the others being excused with them."""
KNOWN = 3
"""What is usual is known after so many hours."""
RECENT = 24 * 7
"""Of so many hours, the newest."""
ENOUGH = 20
"""So many have to be expected in an hour before few can be told from none."""
MAX_DARK_H = 48
"""What lasts longer is no outage but the new usual."""
MAX_SPANS = 8
"""So many outages of a rollout are excused, the first."""


def spans(hushed: Mapping[Hush, Heard], hour: int) -> tuple[Span, ...]:
    """The dark hours before `hour`, joined.

    An hour that nobody looked at, after one that was, is dark: the server was. The last one may not have been looked at yet.
    """
    came = {h.hour: n for h, n in hushed.items() if h.sign is Sign.CAME}
    if not came:
        return ()
    found: list[Span] = []
    shares: list[float] = []
    since: int | None = None
    for at in range(min(came), max(max(came) + 1, hour - 1)):
        is_dark = at not in came or _dark(came[at], shares)
        if is_dark:
            since = at if since is None else since
        if is_dark and since is not None and at - since < MAX_DARK_H:
            found = _with(found, at)
            continue
        since = since if is_dark else None
        if at in came and came[at].devices:
            shares = [*shares[1 - RECENT :], came[at].events / came[at].devices]
    return tuple(found[:MAX_SPANS])


def _dark(came: Heard, shares: list[float]) -> bool:
    if len(shares) < KNOWN:
        return False
    usual = median(shares) * came.devices
    return usual >= ENOUGH and came.events < HARDLY * usual


def _with(found: list[Span], at: int) -> list[Span]:
    if found and found[-1].end == at:
        return [*found[:-1], Span(found[-1].begin, at + 1)]
    return [*found, Span(at, at + 1)]


def excused(told: Mapping[Cohort, int]) -> dict[int, Count]:
    """The outcomes that do not count, by segment."""
    size: dict[int, int] = {}
    under_way: dict[int, int] = {}
    for cohort, devices in told.items():
        size[cohort.hour] = size.get(cohort.hour, 0) + devices
        if cohort.under_way:
            under_way[cohort.hour] = under_way.get(cohort.hour, 0) + devices
    whole = {hour for hour, devices in under_way.items() if devices > FEW * size[hour]}
    found: dict[int, Count] = {}
    for cohort, devices in told.items():
        failed = cohort.state in FAILURES
        if (cohort.under_way or cohort.hour in whole) and (failed or cohort.state is State.SUCCEEDED):
            before = found.get(cohort.segment, NOTHING)
            found[cohort.segment] = Count(before.failed + devices * failed, before.tried + devices)
    return found
