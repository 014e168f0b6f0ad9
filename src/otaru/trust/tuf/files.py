"""Releases as TUF lists them: a target for each file, with what a device has to know of it before it takes it.

The custom fields are those that both repositories must agree on (Uptane, 5.4.4.2 step 10).
"""

from collections.abc import Iterable

from tuf.api.metadata import TargetFile

from otaru.domain.release import Artifact, Release
from otaru.trust.tuf.names import path_of

_INSTALLERS = {".swu": "swupdate", ".raucb": "rauc"}


def installer_by(filename: str) -> str:
    """What installs a file by the end of its name, where nothing better is known of it."""
    return next((installer for end, installer in _INSTALLERS.items() if filename.endswith(end)), "file")


def files_of(role: str, release: Release) -> dict[str, TargetFile]:
    """A release's files by target path. Bytes for several kinds of hardware are one target."""
    by_file: dict[tuple[str, str], list[Artifact]] = {}
    for artifact in release.artifacts:
        by_file.setdefault((artifact.filename, artifact.blob.sha256), []).append(artifact)
    plain = [path_of(role, release.version, name) for name, _ in by_file]
    found = {}
    for (name, digest), artifacts in by_file.items():
        path = path_of(role, release.version, name)
        if plain.count(path) > 1:
            path = path_of(role, release.version, name, digest[:16])
        found[path] = _target(path, release, artifacts)
    return found


def files_of_all(role: str, releases: Iterable[Release]) -> dict[str, TargetFile]:
    """The files of several releases, in the order of their paths."""
    found = {path: file for release in releases for path, file in files_of(role, release).items()}
    return dict(sorted(found.items()))


def _target(path: str, release: Release, artifacts: list[Artifact]) -> TargetFile:
    blob = artifacts[0].blob
    custom = {
        "component": artifacts[0].component,
        "hardwareIds": sorted(str(artifact.hardware) for artifact in artifacts),
        "installer": artifacts[0].installer or installer_by(artifacts[0].filename),
        "releaseCounter": release.listed_counter,
        "version": release.version,
        **{document.kind.value: document.blob.sha256 for document in release.documents},
    }
    if artifacts[0].installer_digest:
        custom["installerDigest"] = artifacts[0].installer_digest
    return TargetFile(blob.size, {"sha256": blob.sha256}, path, {"custom": custom})
