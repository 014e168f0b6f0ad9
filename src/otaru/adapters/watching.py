"""Who waits for news of a device: thousands of them, at the cost of a look-up for what happens to one device.

What may concern many (a wave opens, a tenant is halted) puts all of those in a line, of which SOME are woken at a time: the
event loop and the store belong to everybody else in between.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable

from otaru.domain.ids import DeviceId, RolloutId, TenantId

SOME = 100
REST_S = 0.02


class Watching:
    """One who waits: implements `ports.registry.Watch`."""

    __slots__ = ("_leave", "in_line", "rollouts", "wake")

    def __init__(self, wake: Callable[[], None], leave: Callable[["Watching"], None]) -> None:
        self.wake: Callable[[], None] | None = wake
        self.rollouts: frozenset[RolloutId] | None = None
        """What it rests on; None: any."""
        self.in_line = False
        self._leave = leave

    def rest_on(self, rollouts: Collection[RolloutId]) -> None:
        """See the port."""
        self.rollouts = frozenset(rollouts)

    def leave(self) -> None:
        """See the port."""
        if self.wake is not None:
            self.wake = None
            self._leave(self)


class Watchers:
    """All of one process, on its event loop."""

    def __init__(self) -> None:
        self._by_tenant: dict[TenantId, dict[DeviceId, list[Watching]]] = defaultdict(dict)
        self._line: list[Watching] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, tenant: TenantId, device: DeviceId, wake: Callable[[], None]) -> Watching:
        """Begin to wait."""

        def leave(who: Watching) -> None:
            waiting = self._by_tenant[tenant][device]
            waiting.remove(who)
            if not waiting:
                del self._by_tenant[tenant][device]
            if not self._by_tenant[tenant]:
                del self._by_tenant[tenant]

        found = Watching(wake, leave)
        self._by_tenant[tenant].setdefault(device, []).append(found)
        return found

    def device(self, tenant: TenantId, device: DeviceId) -> None:
        """Something happened to a device."""
        if tenant in self._by_tenant:
            for who in list(self._by_tenant[tenant].get(device, ())):
                _wake(who)

    def rollout(self, tenant: TenantId, rollout: RolloutId) -> None:
        """Something happened to a rollout, which concerns who is in it."""
        self._queue(who for who in self._of(tenant) if who.rollouts is None or rollout in who.rollouts)

    def rollouts(self, tenant: TenantId) -> None:
        """Something happened that may concern whoever is in any rollout."""
        self._queue(who for who in self._of(tenant) if who.rollouts is None or who.rollouts)

    def tenant(self, tenant: TenantId) -> None:
        """Something happened that may concern every device of a tenant."""
        self._queue(self._of(tenant))

    def everybody(self) -> None:
        """Nobody knows what happened."""
        for tenant in list(self._by_tenant):
            self.tenant(tenant)

    def _of(self, tenant: TenantId) -> Iterable[Watching]:
        if tenant not in self._by_tenant:
            return ()
        return (who for waiting in self._by_tenant[tenant].values() for who in waiting)

    def _queue(self, found: Iterable[Watching]) -> None:
        for who in found:
            if not who.in_line:
                who.in_line = True
                self._line.append(who)
        if self._line and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(0, self._some)

    def _some(self) -> None:
        self._timer = None
        now, self._line = self._line[:SOME], self._line[SOME:]
        for who in now:
            who.in_line = False
            _wake(who)
        if self._line:
            self._timer = asyncio.get_running_loop().call_later(REST_S, self._some)


def _wake(who: Watching) -> None:
    if who.wake is not None:
        who.wake()
