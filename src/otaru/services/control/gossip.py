"""Who has seen a head of a log is shown that the newest grows from it; a head that does not fit is evidence, and is kept.

Only what the log's own key has signed is looked at, so nobody can make up a split: whoever shows one has it from whoever
had that key, be it this server before its database was put back.
"""

from otaru.domain.events import START, Happening, Kind
from otaru.domain.ids import TenantId
from otaru.errors import InvalidInputError, LogSplitError, NotFoundError, UnavailableError
from otaru.ports.store import Tx, one
from otaru.services.control.transparency import reading, state_in
from otaru.services.control.world import SYSTEM, World
from otaru.trust.log import merkle
from otaru.trust.log.entries import Log
from otaru.trust.log.gossip import growth
from otaru.trust.log.notes import Checkpoint, NoteError, opened, verifier
from otaru.trust.log.tiles import subtrees

MAX_SEEN = 16 * 1024
"""Bytes of a head that somebody shows."""
KEPT = 10
"""Different heads of one size that are kept as evidence."""


async def since(world: World, tenant: TenantId, log: Log, seen: str) -> str:
    """What shows who has seen a head that the newest grows from it (`trust.log.gossip`).

    Raises:
        NotFoundError: there is no checkpoint yet.
        InvalidInputError: it is no head that this log has signed.
        LogSplitError: no tree of this log has that head. It is kept as evidence.
        UnavailableError: the log is damaged.
    """
    split, answer = await world.store.read(lambda tx: _since(tx, tenant, log, seen))
    if split is None:
        return answer
    # Of the signatures only the log's own: the others prove nothing.
    text, _, signatures = seen.rpartition("\n\n")
    own = [line for line in signatures.splitlines() if line.split(" ")[1:2] == [split.origin]]
    data = {"root": split.root.hex(), "note": "\n".join((text, "", *own, ""))}
    told = Happening(tenant, world.clock.now(), SYSTEM.name, Kind.LOG_SPLIT, f"{log}:{split.size}", data)
    await world.store.write(_keep, told)
    raise LogSplitError(
        f"the {log} log has not this head of {split.size} entries, and has signed it",
        hint="Keep the checkpoint: it is evidence. See docs/log.md.",
        size=split.size,
    )


def _since(tx: Tx, tenant: TenantId, log: Log, seen: str) -> tuple[Checkpoint | None, str]:
    """The head, if it does not fit, and the answer otherwise."""
    found = state_in(tx, tenant, log)
    tree, newest = found.tree, found.newest
    if newest is None or tree.verifier is None:
        raise NotFoundError(f"the {log} log has no checkpoint yet")
    try:
        before = opened(seen, verifier(tree.verifier))
    except NoteError as error:
        raise InvalidInputError(f"it is no checkpoint of this log: {error}") from None
    if before.size > tree.size:
        return before, ""
    subtree = subtrees(tree.size, reading(tx, tenant, log))
    try:
        if merkle.root(before.size, subtree) != before.root:
            return before, ""
        if before.size > newest.size:  # signed, and on its way to be published
            raise UnavailableError("a newer checkpoint is about to be published", hint="Ask again in a moment.")
        proof = merkle.consistency(before.size, newest.size, subtree) if before.size else []
    except ValueError as error:
        raise UnavailableError(f"the {log} log of {tenant} is damaged: {error}", hint="See docs/log.md.") from None
    return None, growth(before.size, proof, newest.note)


@one
def _keep(tx: Tx, what: Happening) -> None:
    known = tx.events.page(what.tenant, START, KEPT, what.subject, kinds=[Kind.LOG_SPLIT])
    if len(known) < KEPT and all(before.what.data.get("root") != what.data["root"] for before in known):
        tx.events.add([what])
