"""Why a device refuses: one class and one code each, which it reports to its server. `REFUSALS` is the table of all.

What is wrong with a metadata file in itself (its form, its size, who signed it, its end) has the codes that the server
uses when it takes metadata in, because the same functions find it.
"""

from otaru import errors
from otaru.errors import OtaruError


class UpdateError(OtaruError):
    """An update that the device refuses."""

    code = "update_refused"


class RollbackError(UpdateError):
    """Metadata is older than what the device has seen."""

    code = "metadata_rollback"


class ChangedError(UpdateError):
    """A version that the device has seen is said to be something else now."""

    code = "metadata_changed"


class MismatchError(UpdateError):
    """Metadata is not the file that the timestamp or the snapshot lists: another version, length or hash."""

    code = "metadata_mismatch"


class ForgottenError(UpdateError):
    """The snapshot no longer lists a role that it listed before."""

    code = "metadata_forgotten"


class UnlistedError(UpdateError):
    """The snapshot does not list a role that is delegated to."""

    code = "metadata_unlisted"


class MissingError(UpdateError):
    """The server does not have metadata that it should have."""

    code = "metadata_missing"


class DelegationsError(UpdateError):
    """A target was not found in as many delegations as a device follows."""

    code = "delegations_too_many"


class WrongDeviceError(UpdateError):
    """The director's targets are for another device, or for none."""

    code = "wrong_device"


class UnknownTargetError(UpdateError):
    """The director names a target that the image repository does not have."""

    code = "target_unknown"


class DisagreementError(UpdateError):
    """The director and the image repository say different things of a target."""

    code = "target_disagrees"


class TargetFormError(UpdateError):
    """What is said of a target is not of the form that we make."""

    code = "target_form"


class TargetPathError(UpdateError):
    """A target's path is not one of ours: it could lead elsewhere."""

    code = "target_path"


class WrongHardwareError(UpdateError):
    """The target is made for other hardware."""

    code = "wrong_hardware"


class BelowFloorError(UpdateError):
    """The target's security counter is below the one that the device has burnt, and nothing permits it."""

    code = "below_floor"


class BelowFuseError(UpdateError):
    """The target's security counter is below the one that the hardware has burnt: no permission goes below that."""

    code = "below_fuse"


class PrerequisiteError(UpdateError):
    """Something has to be installed first."""

    code = "prerequisite_missing"


class BundleError(UpdateError):
    """A group of targets that belong together is not complete."""

    code = "bundle_incomplete"


class LogProofError(UpdateError):
    """The release is not shown to be in the transparency log, or too few witnesses have seen it there."""

    code = "log_proof"


class TargetTooLongError(UpdateError):
    """More bytes come than the target has."""

    code = "target_too_long"


class TargetTooShortError(UpdateError):
    """Fewer bytes came than the target has."""

    code = "target_too_short"


class TargetDigestError(UpdateError):
    """The bytes are not the target's."""

    code = "target_digest"


class DeltaSourceError(UpdateError):
    """A delta does not lead from what is installed to the target."""

    code = "delta_source"


class SlowRetrievalError(UpdateError):
    """Bytes come too slowly, or the whole of them too late."""

    code = "retrieval_slow"


class DeltaResultError(UpdateError):
    """What a delta made is not the target."""

    code = "delta_result"


class InstallerDigestError(UpdateError):
    """The installer found something else in the file than was signed."""

    code = "installer_digest"


class OfflineBundleError(UpdateError):
    """A bundle for places without a network says other things than its metadata, or is for other devices."""

    code = "offline_bundle"


class StateError(UpdateError):
    """What the device has kept of its trust cannot be read: it trusts nothing until it is provisioned again."""

    code = "state_broken"


_SHARED: tuple[type[OtaruError], ...] = (
    errors.MetadataFormError,
    errors.MetadataSizeError,
    errors.MetadataUnsignedError,
    errors.MetadataSignatureError,
    errors.MetadataThresholdError,
    errors.MetadataExpiredError,
    errors.MetadataVersionError,
    errors.RoleNameError,
    errors.PermitError,
)

REFUSALS: dict[str, type[OtaruError]] = {kind.code: kind for kind in (*_SHARED, *UpdateError.__subclasses__())}
"""Every reason for which a device refuses, by its code; the first line of a class says what it means."""
