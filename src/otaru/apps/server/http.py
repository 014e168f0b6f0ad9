"""uvicorn as we run it (docs/adr/0003)."""

import contextlib
from collections.abc import Iterator

import uvicorn

from otaru.apps.server.body import App
from otaru.apps.server.settings import Settings


class Server(uvicorn.Server):
    """A server that leaves signals, and so the end of the process, to its owner."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def config(app: App, settings: Settings | None = None) -> uvicorn.Config:
    """How a listener is run; without settings, the admin socket's way."""
    trusted = list(settings.trusted_proxies) if settings is not None else []
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted),
        forwarded_allow_ips=trusted,
        timeout_graceful_shutdown=20,
        timeout_keep_alive=75,
        ssl_certfile=settings.tls_cert if settings is not None else None,
        ssl_keyfile=settings.tls_key if settings is not None else None,
    )
