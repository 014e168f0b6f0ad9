"""Private keys in AWS's Key Management Service: ECDSA on P-256 and P-384, by securesystemslib's signer.

A key is named `awskms:KEY`, where KEY is a key's id, its ARN, or an alias (`awskms:alias/release`). Who we are there, and in
which region, is AWS's own business: environment, profile, or the machine's role. It needs `kms:GetPublicKey`, `kms:Sign`.
"""

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError
from securesystemslib.exceptions import Error as SignerError
from securesystemslib.signer import AWSSigner, Key

from otaru.errors import InvalidInputError, MetadataFormError, OtaruError, UnavailableError
from otaru.trust.tuf.keys import read_public

SCHEME = "awskms:"
_REFUSED = frozenset(
    {"AccessDeniedException", "InvalidArnException", "NotFoundException", "UnsupportedOperationException"}
    | {"UnrecognizedClientException", "DisabledException", "InvalidKeyUsageException", "ValidationException"}
)
"""What AWS says where asking again would not help."""


class KmsSigner:
    """Implements `ports.signing.Signer`. The service gets the digest of what is signed, never the whole."""

    def __init__(self, where: str) -> None:
        """Ask for the public key.

        Raises:
            InvalidInputError: there is no such key, it is of another kind, or AWS does not let us.
            UnavailableError: the service does not answer.
        """
        self._name = where.removeprefix(SCHEME)
        if not where.startswith(SCHEME) or not self._name:
            raise InvalidInputError(f"{where!r} does not name a key", hint="Write awskms:KEY, an id, ARN or alias.")
        try:
            _, public = AWSSigner.import_(self._name)
            self._key = read_public(public.keyval["public"])
            self._signer = AWSSigner(self._name, public)
        except (BotoCoreError, ClientError) as error:
            raise self._told(error) from None
        except (SignerError, MetadataFormError, KeyError, ValueError):
            raise InvalidInputError(
                f"the key {self._name} is not one to sign with here", hint="Keys are ECDSA on P-256 or P-384."
            ) from None

    @property
    def key(self) -> Key:
        """See the port."""
        return self._key

    def sign(self, data: bytes) -> bytes:
        """See the port."""
        try:
            return bytes.fromhex(self._signer.sign(data).signature)
        except (BotoCoreError, ClientError) as error:
            raise self._told(error) from None

    def _told(self, error: Exception) -> OtaruError:
        if isinstance(error, NoCredentialsError | NoRegionError):
            return InvalidInputError(f"AWS cannot be asked: {error}", hint="Set AWS_PROFILE, or AWS_REGION and a key.")
        code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
        told = f"the key {self._name} cannot be used: {error}"
        return InvalidInputError(told) if code in _REFUSED else UnavailableError(told)
