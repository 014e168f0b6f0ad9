"""Every error Otaru raises on purpose: one root, a stable `code` each.

The sentence in the exception says what is wrong and with what; `hint` says what to do next. Each edge holds one table
from class to its own language: `apps/server/problems.py` to HTTP, `apps/cli/exits.py` to exit codes.
"""

from typing import Any, ClassVar


class OtaruError(Exception):
    """The root of all errors that a user may see."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str | None = None, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.facts = facts


class InvalidInputError(OtaruError):
    """What was sent is not of the form that was asked for."""

    code = "invalid_input"


class QuerySyntaxError(InvalidInputError):
    """A target query does not parse; `column` (from 1) says where."""

    code = "invalid_query"


class UnauthenticatedError(OtaruError):
    """No credential, or one that is unknown, expired or revoked."""

    code = "unauthenticated"


class ForbiddenError(OtaruError):
    """The credential is good, but its role may not do this."""

    code = "forbidden"


class BackupsOffError(ForbiddenError):
    """The tenant has its server take no backups: they stay on the devices."""

    code = "backups_off"


class NotFoundError(OtaruError):
    """There is no such thing in this tenant."""

    code = "not_found"


class MethodNotAllowedError(OtaruError):
    """There is such an address, but not for this method; `allowed` lists the methods it is there for."""

    code = "method_not_allowed"


class GoneError(OtaruError):
    """The thing has ended: what is said of it now comes too late and changes nothing."""

    code = "gone"


class AlreadyExistsError(OtaruError):
    """A thing with this key exists and differs."""

    code = "already_exists"


class LogSplitError(OtaruError):
    """The transparency log has signed a head that is none of its tree's: somebody was shown another history."""

    code = "log_split"


class InvalidStateError(OtaruError):
    """The thing's state does not allow this; `allowed` lists what it does allow."""

    code = "invalid_state"


class NeverDueError(InvalidStateError):
    """A rollout could never come to its end: its window, its end, its expiry and the tenant's blackouts leave no time for it."""

    code = "never_due"


class PreconditionFailedError(OtaruError):
    """If-Match names an older version of the thing."""

    code = "precondition_failed"


class IdempotencyConflictError(OtaruError):
    """An Idempotency-Key was used again for a different request."""

    code = "idempotency_conflict"


class TooLargeError(OtaruError):
    """A body, a field or a file is over its limit, or a quota is used up; `limit` says which number."""

    code = "too_large"


class RangeNotSatisfiableError(OtaruError):
    """A Range that lies outside the file; `size` is the file's."""

    code = "range_not_satisfiable"


class ChecksumMismatchError(OtaruError):
    """The bytes that arrived are not the bytes that were announced."""

    code = "checksum_mismatch"


class NothingToDoError(OtaruError):
    """What was asked for would concern nothing at all; most likely a slip."""

    code = "nothing_to_do"


class RefusedError(OtaruError):
    """A policy forbids it, whoever asks."""

    code = "refused"


class PostponedError(RefusedError):
    """An update is not postponed (again): too often, too long, or after the moment at which it happens by itself."""

    code = "postponed_enough"


class AssignmentRefusedError(RefusedError):
    """The director's signer finds that a device is not to be told this; nothing was signed."""

    code = "assignment_refused"


class OverloadedError(OtaruError):
    """A queue is full; the same request may succeed in a moment."""

    code = "overloaded"


class RateLimitedError(OtaruError):
    """A device tells more than is kept of it; `retry_after_s` says when it may go on."""

    code = "rate_limited"


class UnavailableError(OtaruError):
    """A part that is needed does not answer."""

    code = "unavailable"


class StoppedError(OtaruError):
    """What was under way was ended by whoever began it."""

    code = "stopped"


class StorageFullError(OtaruError):
    """The disk is full; nothing of the request was kept."""

    code = "storage_full"


class DataFolderError(OtaruError):
    """The data folder cannot be used: not writable, locked by another process, or of another version."""

    code = "data_folder"


class MetadataError(OtaruError):
    """TUF metadata that is refused; each reason is a class of its own. Nothing of it was kept."""

    code = "metadata_refused"


class MetadataFormError(MetadataError):
    """It is not TUF metadata, or not of the form that we make: a key under a wrong id, a role that lacks keys."""

    code = "metadata_form"


class MetadataSizeError(MetadataError):
    """It is longer than clients read; `limit` says how long it may be."""

    code = "metadata_too_large"


class MetadataUnsignedError(MetadataError):
    """It has no signature at all."""

    code = "metadata_unsigned"


class MetadataSignatureError(MetadataError):
    """None of its signatures is one of a key of its role."""

    code = "metadata_signature"


class MetadataThresholdError(MetadataError):
    """Fewer keys of its role have signed than have to; `signed` and `threshold` say how many."""

    code = "metadata_threshold"


class MetadataExpiredError(MetadataError):
    """It had expired before it arrived."""

    code = "metadata_expired"


class MetadataVersionError(MetadataError):
    """Its version is not the one that follows; `known` is the newest that we have."""

    code = "metadata_version"


class MetadataContentError(MetadataError):
    """It is signed well and says what is not so: files that no release has, roles that nobody delegates."""

    code = "metadata_content"


class PermitError(MetadataError):
    """A permission to downgrade that is signed well permits something else: another device, component or counter."""

    code = "permit_other"


class RoleNameError(InvalidInputError):
    """It is not the name of a role."""

    code = "role_name"


class SignatureMissingError(InvalidStateError):
    """It needs signatures of keys that the server does not hold; `missing` says of which."""

    code = "signature_missing"


class ImageError(OtaruError):
    """An uploaded image is refused; each reason is a class of its own. Nothing is kept of it but the uploaded bytes."""

    code = "image_refused"


class ImageBrokenError(ImageError):
    """It begins like an image of a format and is none: cut short, contradicting itself, or beyond what may be read."""

    code = "image_broken"


class ImageMismatchError(ImageError):
    """It says something else of itself than was typed; `mismatches` has both values of each."""

    code = "image_mismatch"


class ImageSignatureError(ImageError):
    """Its signature does not hold, or in production no trust anchor answers for it; `verdict` says which."""

    code = "image_signature"


class ImageFormError(ImageError):
    """It has a form of its format that production refuses."""

    code = "image_form"


class EnrollmentError(RefusedError):
    """A device may not enroll; each reason is a class of its own. No device was made."""

    code = "enrollment_refused"


class ClaimExpiredError(EnrollmentError):
    """The claim's time is over."""

    code = "claim_expired"


class ClaimRevokedError(EnrollmentError):
    """The claim was revoked."""

    code = "claim_revoked"


class ClaimUsedUpError(EnrollmentError):
    """As many devices as it was made for have enrolled with the claim; `quota` says how many."""

    code = "claim_used_up"


class SerialNotListedError(EnrollmentError):
    """The claim is for listed serials only, and this is none of them."""

    code = "serial_not_listed"


class SerialTakenError(EnrollmentError):
    """There is a device of this id already, and who asks does not show its key."""

    code = "serial_taken"


class KeyTakenError(EnrollmentError):
    """The key is another device's, or it was revoked."""

    code = "key_taken"


class HardwareMismatchError(EnrollmentError):
    """The claim is for other hardware; `expected` and `reported` say which."""

    code = "hardware_mismatch"


class DeviceRejectedError(EnrollmentError):
    """The device was rejected or decommissioned: it does not come back under this id."""

    code = "device_rejected"


class DevicePendingError(RefusedError):
    """The device waits for somebody to accept it; `retry_after_s` says when to ask again."""

    code = "device_pending"


class ProofError(RefusedError):
    """What a device signed does not show that it has the key."""

    code = "proof_refused"


class ProofTimeError(ProofError):
    """What a device signed is too old, or from the future; `server_time` is ours, in seconds since 1970."""

    code = "proof_time"


class ProofSpentError(ProofError):
    """What a device signed has been used: each signature is good once."""

    code = "proof_spent"


class ReceiptError(RefusedError):
    """What was brought as a device's receipt is not one that this device has signed, or not for us."""

    code = "receipt_refused"


class InstallError(OtaruError):
    """An installer could not do what it was asked for; what ran before still runs."""

    code = "install_failed"


class InstallerUnknownError(RefusedError):
    """No installer of this device is for such a file, or for its component: it was not even downloaded."""

    code = "installer_unknown"


class UnsuitableError(RefusedError):
    """A file is not for the place that it would be installed to: it is too long for it, say."""

    code = "unsuitable"


class BackupError(OtaruError):
    """A device's data could not be saved before an update, or not be put back after it."""

    code = "backup_failed"


class JournalBrokenError(OtaruError):
    """No copy of what a device keeps can be read: it begins anew, and what is not confirmed is not."""

    code = "journal_broken"
