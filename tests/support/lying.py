"""A server that lies: it passes everything on, but for what the test makes of an answer."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx


@contextmanager
def lying(server: str, path: str, change: Callable[[Any], object]) -> Iterator[str]:
    """The address of a proxy in front of `server` that changes the JSON it answers at `path`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            passed = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection"}}
            there = httpx.request(self.command, server + self.path, headers=passed, content=self.rfile.read(size))
            content = there.content
            if self.path == path and there.status_code == 200:
                told = there.json()
                change(told)
                content = json.dumps(told).encode()
            self.send_response(there.status_code)
            self.send_header("Content-Type", there.headers.get("content-type", "application/octet-stream"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_address[1]}"
        finally:
            listener.shutdown()
            thread.join()
