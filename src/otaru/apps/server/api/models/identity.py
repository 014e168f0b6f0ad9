"""Devices' credentials and tenants' certificate authorities, as the API shows and takes them."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from otaru.apps.server.api.models.fields import LINE, LINES, MAX_SECONDS, Body, DeviceToken, Out
from otaru.domain.authority import Authority
from otaru.domain.credential import Credential, CredentialKind
from otaru.services.control.authorities import Made
from otaru.trust.pki.certificates import MAX_PEM, as_pem

Pem = Annotated[str, Field(min_length=1, max_length=MAX_PEM, pattern=LINES)]


class CredentialIn(Body):
    """A credential to give a device."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"kind": "token", "label": "spare"}]})

    kind: CredentialKind
    label: Annotated[str, Field(max_length=128, pattern=LINE, description="What it is for.")] = ""
    expires_in_s: Annotated[
        float | None,
        Field(ge=1, le=MAX_SECONDS, description="How long it is good. A certificate says so itself."),
    ] = None
    token: DeviceToken | None = None
    pem: Annotated[
        Pem | None,
        Field(
            description="Of a key: the public one. Of a certificate: the device's, then its authority's where that is new."
        ),
    ] = None


class CredentialOut(Out):
    """A credential of a device. Nothing of it is secret."""

    id: str
    kind: CredentialKind
    label: str
    key: Annotated[
        str | None, Field(description="SHA-256 of the public key (SubjectPublicKeyInfo); null where it is a token.")
    ]
    issuer: Annotated[
        str | None, Field(description="The same of the authority's key; null where it is no certificate.")
    ]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, credential: Credential) -> "CredentialOut":
        """As it is stored."""
        secret = credential.kind is CredentialKind.TOKEN
        return cls(
            id=credential.id,
            kind=credential.kind,
            label=credential.label,
            key=None if secret else credential.digest.hex(),
            issuer=credential.issuer.hex() or None,
            created_at=credential.created_at,
            expires_at=credential.expires_at,
            revoked_at=credential.revoked_at,
        )


class AddedCredential(CredentialOut):
    """A new credential; of a token with its secret, which is shown once."""

    token: str | None

    @classmethod
    def added(cls, credential: Credential, token: str | None) -> "AddedCredential":
        """As it was made."""
        return cls(**CredentialOut.of(credential).model_dump(), token=token)


class AuthorityIn(Body):
    """A certificate authority to make."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"below": False}]})

    key: Annotated[
        str | None,
        Field(pattern=r"^[0-9a-f]{64}$", description="The id of a key that this server holds; else it makes one."),
    ] = None
    below: Annotated[
        bool, Field(description="Whether a root elsewhere is to sign its certificate: the answer has the request.")
    ] = False


class CertificateIn(Body):
    """A certificate for an authority."""

    pem: Annotated[Pem, Field(description="The authority's certificate, then those above it.")]


class AuthorityOut(Out):
    """A certificate authority of a tenant."""

    id: Annotated[str, Field(description="SHA-256 of its public key (SubjectPublicKeyInfo).")]
    own: Annotated[
        bool, Field(description="Whether it is the tenant's own; else some devices' certificates are of it.")
    ]
    signs: Annotated[bool, Field(description="Whether it signs for devices now.")]
    certificate: Annotated[str | None, Field(description="PEM; null while its request waits for a signature.")]
    chain: Annotated[str, Field(description="The certificates above it, in PEM.")]
    created_at: datetime
    expires_at: datetime | None
    retired_at: datetime | None

    @classmethod
    def of(cls, authority: Authority, now: datetime) -> "AuthorityOut":
        """As it is stored."""
        return cls(
            id=authority.id,
            own=bool(authority.key),
            signs=authority.signs(now),
            certificate=None if authority.certificate is None else as_pem(authority.certificate),
            chain=authority.chain,
            created_at=authority.created_at,
            expires_at=authority.expires_at,
            retired_at=authority.retired_at,
        )


class MadeAuthority(AuthorityOut):
    """A new authority, with the request for its certificate where a root elsewhere is to sign it."""

    request: Annotated[str | None, Field(description="PKCS#10 in PEM.")]

    @classmethod
    def made(cls, made: Made, now: datetime) -> "MadeAuthority":
        """As it was made."""
        return cls(**AuthorityOut.of(made.authority, now).model_dump(), request=made.request)
