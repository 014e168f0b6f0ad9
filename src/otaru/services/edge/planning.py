"""From what the server offers to a plan: verified by both repositories, and something here can install each piece."""

from dataclasses import replace

from otaru.domain.update import Standing
from otaru.domain.update_record import Piece, Plan, Record
from otaru.errors import InstallerUnknownError
from otaru.services.edge.parts import Parts
from otaru.services.edge.running import installed
from otaru.trust.verify.clock import trusted_time
from otaru.trust.verify.fitness import Me
from otaru.trust.verify.offline import verify_offline
from otaru.trust.verify.steps import Keep, run
from otaru.trust.verify.update import Update, verify


def plan(parts: Parts, record: Record) -> Plan | None:
    """The plan in full; None: it is not due, or the director has not said so yet.

    Raises:
        OtaruError: it is refused, with a code of `trust.verify.refusals`, or no installer takes it.
        UnavailableError, OverloadedError, UnauthenticatedError, StoppedError: the server cannot be asked now.
    """
    asked = record.plan
    if asked is None:
        return None
    state = parts.vault.load()
    now = trusted_time(state, parts.me.built, parts.clock.now())

    def keep(what: Keep) -> None:
        nonlocal state
        state = state.keeping(what)
        parts.vault.put(state)

    me, bundle = _me(parts, record), parts.bundle
    steps = verify(state, me, now) if bundle is None else verify_offline(state, me, bundle, now)
    verdict = run(steps, parts.link.metadata, keep)
    if verdict.state != state:
        parts.vault.put(verdict.state)
    if not verdict.updates or (verdict.not_before is not None and verdict.not_before > now):
        return None
    if any(update.order.facts.get("action", asked.action) != asked.action for update in verdict.updates):
        return None
    pieces, floors = _pieces(parts, verdict.updates), dict(verdict.state.counters)
    return replace(asked, pieces=pieces, floors=floors, bundle="" if bundle is None else bundle.id)


def _me(parts: Parts, record: Record) -> Me:
    me = parts.me
    return Me(me.tenant, me.device, me.hardware, installed(parts, record), me.fuses, me.log)


def _pieces(parts: Parts, updates: tuple[Update, ...]) -> tuple[Piece, ...]:
    order = list(parts.installers)
    found = []
    for update in updates:
        target = update.target
        piece = Piece(
            target.component,
            target.version,
            target.installer,
            target.path,
            target.length,
            target.sha256,
            target.counter,
            target.installer_digest or "",
        )
        installer = parts.installers.get(piece.component)
        if installer is None or piece.installer not in installer.kinds:
            raise InstallerUnknownError(f"nothing here installs {piece.component} by {piece.installer}")
        if installer.standing(piece) is Standing.RUNS:
            piece = replace(piece, there=True)
        else:
            installer.check(piece)
        found.append(piece)
    return tuple(sorted(found, key=lambda piece: order.index(piece.component)))
