"""Keys and signed metadata, as the API shows and takes them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, ConfigDict, Field
from securesystemslib.signer import Key

from otaru.apps.server.api.models.fields import LINE, Body, Name, Out, VersionText, by
from otaru.domain.ids import Version
from otaru.domain.release import Release
from otaru.services.control.metadata import Delegate, Order, Outcome, Rekey, Renew, Replace, RoleState, Status
from otaru.trust.permit import Permit, read_permit
from otaru.trust.tuf.director import KeptPermit
from otaru.trust.tuf.kept import KnownKey, Place
from otaru.trust.tuf.keys import as_pem, from_json, read_public
from otaru.trust.tuf.metadata import AnyMetadata, read
from otaru.trust.tuf.names import product_of
from otaru.trust.tuf.repository import Missing

_PEM = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"

KeyId = Annotated[
    str, Field(pattern="^[0-9a-f]{64}$", description="A key's id: the SHA-256 of the key as TUF writes it.")
]
PublicPem = Annotated[str, Field(min_length=1, max_length=2000, description="A public key (PEM)."), by(read_public)]
RoleName = Annotated[str, Field(min_length=1, max_length=200, pattern=LINE, examples=["product.app.stable"])]
RepositoryName = Annotated[
    Literal["image", "director"],
    Field(description="`image` lists all releases; `director` says to each device what it is to run."),
]
Metadata = Annotated[
    dict[str, dict[str, Any]],
    Field(min_length=1, max_length=1000, description="TUF metadata (`signed` and `signatures`) by role."),
]


def _delegated(text: str) -> str:
    product_of(text)
    return text


class DelegateIn(Body):
    """Who may sign a product's releases."""

    order: Literal["delegate"]
    role: Annotated[RoleName, AfterValidator(_delegated)]
    keys: Annotated[list[PublicPem], Field(min_length=1, max_length=32)]
    threshold: Annotated[int, Field(ge=1, le=32, description="How many of them have to sign.")] = 1

    def parsed(self) -> Order:
        """As the service takes it."""
        return Delegate(self.role, [read_public(pem) for pem in self.keys], self.threshold)


class ReplaceIn(Body):
    """A key to take from every role that has it."""

    order: Literal["replace"]
    key: KeyId
    by: Annotated[PublicPem | None, Field(description="The key that takes its place.")] = None
    make: Annotated[bool, Field(description="Whether a new key of the server takes its place.")] = False

    def parsed(self) -> Order:
        """As the service takes it."""
        return Replace(self.key, None if self.by is None else read_public(self.by), self.make and self.by is None)


class RekeyIn(Body):
    """Another threshold of a role, more keys, or fewer. What is not named stays."""

    order: Literal["rekey"]
    role: RoleName
    threshold: Annotated[int | None, Field(ge=1, le=32, description="How many of its keys have to sign.")] = None
    add: Annotated[list[PublicPem], Field(max_length=32, default_factory=list)]
    remove: Annotated[list[KeyId], Field(max_length=32, default_factory=list)]
    make: Annotated[
        bool, Field(description="Whether the director's signer makes one key more; for its online roles alone.")
    ] = False
    repository: RepositoryName = "image"

    def parsed(self) -> Order:
        """As the service takes it."""
        added = [read_public(pem) for pem in self.add]
        return Rekey(self.role, self.threshold, added, self.remove, self.repository, self.make)


class ChangeIn(Body):
    """What is to change."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"change": {"order": "delegate", "role": "product.app.stable", "keys": [_PEM]}}]
        }
    )

    change: Annotated[DelegateIn | ReplaceIn | RekeyIn, Field(discriminator="order")]


class RequestIn(Body):
    """What is to be signed anew."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "product.app.stable", "versions": ["1.1.0"]}]})

    role: RoleName
    versions: Annotated[
        list[VersionText],
        Field(max_length=100, default_factory=list, description="Drafts of the role's product to list, too."),
    ]
    repository: RepositoryName = "image"

    def parsed(self) -> Order:
        """As the service takes it."""
        return Renew(self.role, [Version(version) for version in self.versions], self.repository)


class MetadataIn(Body):
    """Metadata that was signed elsewhere."""

    metadata: Metadata
    repository: RepositoryName = "image"

    def parsed(self) -> dict[str, AnyMetadata]:
        """As the service takes it."""
        return {role: read(role, json.dumps(told).encode()) for role, told in self.metadata.items()}


class PermitIn(Body):
    """A permission to downgrade that was signed elsewhere."""

    permit: Annotated[
        dict[str, Any], Field(description="`signed` and `signatures`, as otaru keys permit-downgrade has it.")
    ]

    def parsed(self) -> Permit:
        """As the service takes it."""
        return read_permit(json.dumps(self.permit).encode())


class PermitOut(Out):
    """A permission to downgrade."""

    device: str
    component: str
    counter: Annotated[int, Field(description="The lowest security counter that it allows.")]
    expires_at: datetime

    @classmethod
    def of(cls, permit: Permit) -> "PermitOut":
        """As it was brought."""
        ends = permit.expires
        return cls(device=permit.device, component=permit.component, counter=permit.counter, expires_at=ends)

    @classmethod
    def kept(cls, device: str, kept: KeptPermit) -> "PermitOut":
        """As it is stored."""
        return cls(device=device, component=kept.component, counter=kept.counter, expires_at=kept.expires_at)


class MissingOut(Out):
    """Signatures that are missing."""

    role: str
    needed: Annotated[int, Field(description="How many more have to sign.")]
    keys: Annotated[list[str], Field(description="The ids of the keys of which they have to be.")]

    @classmethod
    def of(cls, found: Missing) -> "MissingOut":
        """As it is."""
        return cls(role=found.role, needed=found.needed, keys=list(found.keys))


class OutcomeOut(Out):
    """What became of an order: applied, or metadata that others have to sign."""

    applied: bool
    repository: RepositoryName
    missing: list[MissingOut]
    metadata: dict[str, Any]

    @classmethod
    def of(cls, outcome: Outcome) -> "OutcomeOut":
        """As it is."""
        return cls(
            applied=not outcome.missing,
            repository=cast("RepositoryName", outcome.repository),
            missing=[MissingOut.of(found) for found in outcome.missing],
            metadata={role: found.to_dict() for role, found in outcome.offered.items()},
        )


class AcceptedOut(Out):
    """What metadata that was taken in has done."""

    roles: Annotated[list[str], Field(description="The roles that have a new version.")]
    published: Annotated[list[str], Field(description="Drafts that are published by it, as PRODUCT:VERSION.")]

    @classmethod
    def of(cls, roles: Mapping[str, Any], published: Sequence[Release]) -> "AcceptedOut":
        """As it is."""
        return cls(roles=list(roles), published=[f"{release.product}:{release.version}" for release in published])


class RoleOut(Out):
    """A role of a repository."""

    name: str
    version: Annotated[
        int | None, Field(description="Null: nothing of it has been signed yet, or it is made for each device.")
    ]
    expires_at: datetime | None
    threshold: int
    keys: list[str]
    due: Annotated[bool, Field(description="Whether it is to be signed anew: it ends soon.")]
    expired: Annotated[bool, Field(description="Whether clients refuse it by now.")]
    stale: Annotated[bool, Field(description="Whether it lists other files than the published releases have.")]

    @classmethod
    def of(cls, state: RoleState) -> "RoleOut":
        """As it is."""
        return cls(
            name=state.name,
            version=None if state.end is None else state.end.version,
            expires_at=None if state.end is None else state.end.expires_at,
            threshold=state.threshold,
            keys=list(state.keys),
            due=state.due,
            expired=state.expired,
            stale=state.stale,
        )


class PublicKeyOut(Out):
    """A public key."""

    id: str
    public: Annotated[str, Field(description="PEM.")]

    @classmethod
    def of_key(cls, key: Key) -> "PublicKeyOut":
        """As it is."""
        return cls(id=key.keyid, public=as_pem(key))


class KeyOut(PublicKeyOut):
    """A key that the tenant knows."""

    repository: RepositoryName
    role: Annotated[Name, Field(description="What it was made or first named for.")]
    place: Place
    development: bool
    created_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, known: KnownKey) -> "KeyOut":
        """As it is stored."""
        return cls(
            id=known.id,
            public=as_pem(from_json(known.public)),
            repository=cast("RepositoryName", known.repository),
            role=known.role,
            place=known.place,
            development=known.development,
            created_at=known.created_at,
            revoked_at=known.revoked_at,
        )


class KeysOut(Out):
    """The repositories: their roles, and the keys that the tenant knows."""

    development: Annotated[bool, Field(description="Whether keys made for development are in use.")]
    roles: Annotated[list[RoleOut], Field(description="Those of the image repository.")]
    director: Annotated[list[RoleOut], Field(description="Those of the director repository.")]
    keys: list[KeyOut]

    @classmethod
    def of(cls, status: Status) -> "KeysOut":
        """As it is."""
        return cls(
            development=status.development,
            roles=[RoleOut.of(role) for role in status.roles],
            director=[RoleOut.of(role) for role in status.director],
            keys=[KeyOut.of(key) for key in status.keys],
        )
