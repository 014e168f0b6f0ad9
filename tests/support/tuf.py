"""python-tuf's own client, as a device that updates from us."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

METADATA = "/tuf/DEFAULT/image/metadata/"
TARGETS = "/tuf/DEFAULT/image/targets/"


class Fetcher(FetcherInterface):
    """Fetches with a credential, as a device's own client would."""

    def __init__(self, authorization: str = "") -> None:
        self.headers = {"Authorization": authorization} if authorization else {}

    def _fetch(self, url: str) -> Iterator[bytes]:
        answer = httpx.get(url, headers=self.headers if TARGETS in url else {}, timeout=30)
        if answer.status_code != 200:
            raise DownloadHTTPError(str(answer.status_code), answer.status_code)
        yield answer.content


@dataclass
class Client:
    """A device: a folder that outlives its updaters, and the root that was built into it."""

    folder: Path
    url: str
    root: bytes
    authorization: str

    def updater(self, url: str = "", *, ahead: timedelta = timedelta(0)) -> Updater:
        for name in ("metadata", "targets"):
            (self.folder / name).mkdir(exist_ok=True)
        base = url or self.url
        found = Updater(
            str(self.folder / "metadata"),
            base + METADATA,
            target_dir=str(self.folder / "targets"),
            target_base_url=base + TARGETS,
            fetcher=Fetcher(self.authorization),
            bootstrap=self.root,
        )
        found._trusted_set.reference_time += ahead
        return found

    def update(self, path: str, url: str = "") -> bytes:
        """Refresh, find the target and download it."""
        updater = self.updater(url)
        updater.refresh()
        info = updater.get_targetinfo(path)
        assert info is not None, path
        return Path(updater.download_target(info)).read_bytes()
