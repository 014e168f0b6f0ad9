"""Whether a person at the device may go back to the version before: it lies here still, and no counter forbids it."""

from otaru.domain.update import RESTING, Standing
from otaru.domain.update_record import Record
from otaru.errors import InvalidStateError, NothingToDoError, RefusedError
from otaru.services.edge.parts import Parts


def check(parts: Parts, record: Record) -> None:
    """Change nothing; return where the last update can be undone.

    A counter that rose with it says that what ran before is not safe to run: nobody here goes behind that. Who may is the
    one who signs (a permit for a downgrade, as an update).

    Raises:
        InvalidStateError: an update is under way.
        NothingToDoError: there is none to go back from, or what it brought does not run any more.
        RefusedError: a security counter has risen since.
        StateError, InstallError: what is so here cannot be read.
    """
    if record.state not in RESTING:
        raise InvalidStateError(f"an update is {record.state}", hint="It goes back by itself where it is not healthy.")
    former = record.former
    if former is None:
        raise NothingToDoError(
            "there is no version to go back to: it was never updated, or the one before was written over"
        )
    counters = parts.vault.load().counters
    for piece in former.plan.work:
        if counters.get(piece.component, 0) > former.plan.floors.get(piece.component, 0):
            raise RefusedError(
                f"the security counter of {piece.component} has risen to {counters[piece.component]} with "
                f"{former.plan.release}: the version before may not run again",
                hint="Only an update that is signed with a permit goes back behind a counter.",
            )
    standings = {parts.installers[piece.component].standing(piece) for piece in former.plan.work}
    if standings != {Standing.RUNS}:
        raise NothingToDoError(f"{former.plan.release} does not run any more")
