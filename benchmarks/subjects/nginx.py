"""The floor: nginx answers every request with `return`, the bytes of Otaru's poll, without looking at anything."""

import json
import shutil
import subprocess

from benchmarks.load import Work, write_calls
from benchmarks.subjects import Device, MissingError, polls
from benchmarks.subjects.process import Process

_CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    default_type application/json;
    return 200 '{body}';
  }}
}}
"""


class Nginx:
    """nginx with one worker."""

    name = "nginx return"
    settle_s = 0.0

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._process = Process("nginx")
        self._devices: list[Device] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    def version(self) -> str:
        said = subprocess.run([program(), "-v"], capture_output=True, text=True, check=True, timeout=10)
        return said.stderr.strip().removeprefix("nginx version: ").replace("/", " ")

    def start(self, devices: list[Device]) -> None:
        self._devices = devices
        body = json.dumps(json.loads(self._answer), separators=(",", ":"))
        config = self._process.folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=self._process.folder, port=self._process.port, body=body))
        self._process.run([program(), "-p", str(self._process.folder), "-c", str(config)])

    def polls(self) -> Work:
        calls = self._process.folder / "polls.tsv"
        write_calls(calls, list(polls(self._devices)))
        return Work(self._process.port, calls, len(self._devices))

    def reports(self) -> None:
        return None

    def kept(self) -> int:
        return 0

    def stop(self) -> None:
        self._process.stop()


def program() -> str:
    """Where nginx is. Raises MissingError."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        raise MissingError("nginx is not installed: apt-get install nginx")
    return found
