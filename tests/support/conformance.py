"""A TUF client of any repository on top of `otaru.trust.verify.chain`: what tuf-conformance runs.

It speaks that suite's command line (its CLIENT-CLI.md): `init`, `refresh`, `download`. Run the suite with

    pytest tuf_conformance --entrypoint "PYTHON tests/support/conformance.py"
"""

import argparse
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime
from hashlib import new
from pathlib import Path
from urllib.parse import quote, unquote

from tuf.api.metadata import TargetFile

from otaru.errors import OtaruError
from otaru.trust.verify.chain import Chain, Rules, find, refresh
from otaru.trust.verify.state import Trusted
from otaru.trust.verify.steps import Keep, Source, Want, run


class Client:
    """Files of a folder, and a server."""

    def __init__(self, folder: Path, metadata: str, targets: str, downloads: Path) -> None:
        self.folder, self.metadata, self.targets, self.downloads = folder, metadata, targets, downloads

    def load(self) -> Trusted:
        """What the folder holds."""
        files = {unquote(path.stem): path.read_bytes() for path in self.folder.glob("*.json")}
        root = files.pop("root")
        return Trusted(root, files.pop("timestamp", None), files.pop("snapshot", None), files)

    def keep(self, what: Keep) -> None:
        """Make the folder hold it."""
        trusted = what.trusted
        files = {"root": trusted.root, "timestamp": trusted.timestamp, "snapshot": trusted.snapshot, **trusted.targets}
        for role, data in files.items():
            path = self.folder / f"{quote(role, '')}.json"
            if data is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(data)

    def fetch(self, want: Want) -> bytes | None:
        """Ask the server for metadata."""
        try:
            return get(f"{self.metadata.rstrip('/')}/{want.name}", want.max_length)
        except urllib.error.HTTPError as error:
            if error.code in {403, 404}:
                return None
            raise

    def download(self, consistent: bool, target: TargetFile) -> None:
        """Fetch a target, unless it is there."""
        path = self.downloads / quote(target.path, "")
        if path.exists() and is_target(target, path.read_bytes()):
            return
        folder, slash, name = target.path.rpartition("/")
        prefix = f"{next(iter(target.hashes.values()))}." if consistent else ""
        data = get(f"{self.targets.rstrip('/')}/{folder}{slash}{prefix}{name}", target.length)
        if not is_target(target, data):
            raise ValueError("it is not the target")
        path.write_bytes(data)


def get(url: str, most: int) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        found: bytes = answer.read(most + 1)
    return found


def is_target(target: TargetFile, data: bytes) -> bool:
    return len(data) == target.length and all(new(name, data).hexdigest() == d for name, d in target.hashes.items())


def main() -> int:
    words = argparse.ArgumentParser()
    words.add_argument("--metadata-url", default="")
    words.add_argument("--metadata-dir", type=Path, required=True)
    words.add_argument("--target-name", action="append", default=[])
    words.add_argument("--target-dir", type=Path, default=Path())
    words.add_argument("--target-base-url", default="")
    orders = words.add_subparsers(dest="order", required=True)
    orders.add_parser("init").add_argument("trusted_root", type=Path)
    orders.add_parser("refresh")
    orders.add_parser("download")
    said = words.parse_args()
    if said.order == "init":
        (said.metadata_dir / "root.json").write_bytes(said.trusted_root.read_bytes())
        return 0
    client = Client(said.metadata_dir, said.metadata_url, said.target_base_url, said.target_dir)
    now = datetime.now(UTC)  # noqa: TID251 - faketime sets it
    try:
        chain: Chain = run(refresh(Source.IMAGE, client.load(), Rules(), now), client.fetch, client.keep)
        for name in said.target_name:
            chain, found = run(find(chain, name), client.fetch, client.keep)
            client.download(bool(chain.root.consistent_snapshot), found.target)
    except (OtaruError, OSError, ValueError) as error:
        raise SystemExit(f"{getattr(error, 'code', type(error).__name__)}: {error}") from None
    return 0


if __name__ == "__main__":
    sys.exit(main())
