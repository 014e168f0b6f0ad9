"""Deltas between releases, as the API shows and takes them."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from otaru.apps.server.api.models.fields import Body, Out, VersionText
from otaru.domain.delta import Delta, DeltaState


class DeltaIn(Body):
    """From where deltas are to be made."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"from": "1.0.0"}]})

    from_: Annotated[VersionText, Field(alias="from", description="An earlier release of the product.")]


class DeltaOut(Out):
    """A delta between the artifacts of two releases, or the order to make it."""

    from_version: Annotated[str, Field(description="The release that it was ordered from.")]
    from_sha256: str
    to_sha256: str
    codec: Annotated[str, Field(description="How it is written.", examples=["sequential-lzma"])]
    state: DeltaState
    size: Annotated[int | None, Field(description="Its bytes.")]
    full_size: Annotated[int | None, Field(description="The bytes of the whole artifact, compressed.")]
    share: Annotated[float | None, Field(description="`size` of `full_size`.")]
    memory: Annotated[int | None, Field(description="Bytes of memory that a device needs to apply it.")]
    patch_sha256: Annotated[str | None, Field(description="The artifact that holds it.")]
    reason: Annotated[str | None, Field(description="Why there is none, or why it was tried again.")]
    attempts: int
    ordered_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, delta: Delta) -> "DeltaOut":
        """As it is stored."""
        return cls(
            from_version=delta.source_version,
            from_sha256=delta.pair.source,
            to_sha256=delta.pair.target,
            codec=delta.pair.codec,
            state=delta.state,
            size=delta.size,
            full_size=delta.full,
            share=None if not delta.size or not delta.full else round(delta.size / delta.full, 4),
            memory=delta.memory,
            patch_sha256=delta.patch,
            reason=delta.reason,
            attempts=delta.attempts,
            ordered_at=delta.created_at,
            ended_at=delta.ended_at,
        )
