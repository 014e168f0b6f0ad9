"""The transparency logs, as the API shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from otaru.apps.server.api.models.fields import Body, Out
from otaru.services.control.transparency import State
from otaru.trust.log.entries import Draft, Log
from otaru.trust.log.notes import MAX_NOTE


class LogOut(Out):
    """How far a log has come."""

    log: Log
    entries: Annotated[int, Field(description="Entries that have their place.")]
    signed: Annotated[int, Field(description="How many of them the newest checkpoint covers.")]
    signed_at: datetime | None
    witnessed: Annotated[
        int, Field(description="How many of them the newest checkpoint covers that a witness signed too.")
    ]
    key: Annotated[str | None, Field(description="The public key of its checkpoints (c2sp.org/signed-note).")]

    @classmethod
    def of(cls, state: State) -> "LogOut":
        """As it stands."""
        return cls(
            log=state.log,
            entries=state.tree.size,
            signed=state.tree.signed,
            signed_at=state.newest.at if state.newest else None,
            witnessed=state.witnessed.size if state.witnessed else 0,
            key=state.tree.verifier,
        )


class LogsOut(Out):
    """The tenant's logs."""

    logs: list[LogOut]


class EntryOut(Out):
    """An entry of a log."""

    index: int
    at: datetime
    kind: Annotated[str, Field(examples=["release.moved"])]
    entry: Annotated[str, Field(description="What is hashed into the tree: canonical JSON.")]
    salt: Annotated[str | None, Field(description="Of an audit entry, in hexadecimal; null once it is erased.")] = None
    text: Annotated[
        str | None, Field(description="What an audit entry commits to: canonical JSON; null once it is erased.")
    ] = None

    @classmethod
    def of(cls, placed: tuple[int, Draft]) -> "EntryOut":
        """As it was logged."""
        index, draft = placed
        return cls(
            index=index,
            at=draft.at,
            kind=draft.kind,
            entry=draft.entry.decode(errors="replace"),
            salt=None if draft.salt is None else draft.salt.hex(),
            text=None if draft.text is None else draft.text.decode(errors="replace"),
        )


class CosignatureIn(Body):
    """What a witness has signed."""

    note: Annotated[str, Field(min_length=1, max_length=MAX_NOTE, description="The checkpoint with its cosignature.")]
    witness: Annotated[str, Field(min_length=1, max_length=512, description="The witness's public key.")]


class CheckpointOut(Out):
    """A checkpoint."""

    size: int
    note: str
