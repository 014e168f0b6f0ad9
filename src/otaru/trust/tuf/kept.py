"""What is stored of a repository: signed files as clients get them, and the keys that the tenant knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

IMAGE = "image"
"""The repository that says what releases there are, and who made them."""
DIRECTOR = "director"
"""The repository that says what each device is to run. Of it only root is stored here: the rest is made for each device."""


def told_of(repository: str, role: str) -> str:
    """A role as people are told of it: those of the image repository by their names alone."""
    return role if repository == IMAGE else f"{repository}:{role}"


@dataclass(frozen=True, slots=True)
class Kept:
    """One version of one role's metadata, byte by byte as it was signed."""

    role: str
    version: int
    content: bytes
    expires_at: datetime
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class End:
    """When a role's newest metadata ends."""

    version: int
    expires_at: datetime


class Place(StrEnum):
    """Where the private part of a key is."""

    SERVER = "server"
    """In the keyring of this server: an online key."""
    OFFLINE = "offline"
    """With people; the server has never seen it."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A public key of a tenant. `revoked_at`: no role has it any more."""

    id: str
    public: Mapping[str, Any]
    role: str
    """The role that it was made or first named for."""
    place: Place
    development: bool
    """Made by the server so that work can begin; not for production."""
    created_at: datetime
    revoked_at: datetime | None = None
    repository: str = IMAGE
    """No key is of both repositories: who has one of them has not the other."""
