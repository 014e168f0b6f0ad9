"""The names of uvicorn that `apps/server/http.py` uses and uvicorn does not promise. Red here: read its changes first."""

import inspect
from importlib.metadata import version
from types import FunctionType
from typing import Any

import pytest
import uvicorn
import uvicorn.protocols.http.httptools_impl as impl
from uvicorn.protocols.http.flow_control import FlowControl

from otaru.apps.server.http import Cycle, Protocol

StockCycle: Any = Cycle.__mro__[1]


def names(function: Any) -> set[str]:
    """The attributes and globals that a function uses."""
    assert isinstance(function, FunctionType)
    return {*function.__code__.co_names, *inspect.getclosurevars(function).nonlocals}


def test_its_version_is_the_one_that_was_read() -> None:
    assert version("uvicorn") == "0.54.0"


def test_a_request_makes_the_class_that_we_put_in_place() -> None:
    assert impl.RequestResponseCycle is Cycle
    assert "RequestResponseCycle" in names(impl.HttpToolsProtocol.on_headers_complete)
    assert "self.cycle = RequestResponseCycle(" in inspect.getsource(impl.HttpToolsProtocol.on_headers_complete)


def test_on_url_does_what_ours_does_in_its_place() -> None:
    source = " ".join(inspect.getsource(impl.HttpToolsProtocol.on_url).split())
    assert source == "def on_url(self, url: bytes) -> None: self.url += url"


@pytest.mark.parametrize(
    "name",
    [
        "disconnected",
        "keep_alive",
        "response_started",
        "response_complete",
        "chunked_encoding",
        "expected_content_length",
        "waiting_for_100_continue",
        "default_headers",
        "message_event",
        "on_response",
    ],
)
def test_a_cycle_has(name: str) -> None:
    assert name in names(StockCycle.__init__)


def test_a_cycle_keeps_what_it_is_given() -> None:
    assert {"scope", "transport", "flow"} <= names(StockCycle.__init__)
    assert "response_complete" in names(StockCycle.send)
    assert {"message_event", "on_response", "default_headers", "keep_alive"} <= names(StockCycle.send)
    assert impl.STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n"
    assert "self.expected_content_length -= num_bytes" in inspect.getsource(StockCycle.send)
    assert "if self.disconnected:\n            return" in inspect.getsource(StockCycle.send)


def test_the_application_gets_our_send() -> None:
    assert "self.scope, self.receive, self.send" in inspect.getsource(StockCycle.run_asgi)


def test_a_connection_has_what_we_use() -> None:
    assert {"loop", "transport", "cycle", "scope"} <= names(impl.HttpToolsProtocol.__init__)
    assert "self.scope = {" in inspect.getsource(impl.HttpToolsProtocol.on_message_begin)
    assert '"method"' not in inspect.getsource(impl.HttpToolsProtocol.on_message_begin)
    assert 'self.scope["method"] =' in inspect.getsource(impl.HttpToolsProtocol.on_headers_complete)
    assert "cycle.disconnected = True" in inspect.getsource(impl.HttpToolsProtocol.connection_lost)
    for where in (impl.HttpToolsProtocol.on_headers_complete, impl.HttpToolsProtocol.on_response_complete):
        assert "_start_asgi_task" in names(where)
    overridden = ["connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing", "on_url"]
    overridden += ["_start_asgi_task"]
    for name in [*overridden, "send_400_response"]:
        assert callable(getattr(impl.HttpToolsProtocol, name))
        assert list(inspect.signature(getattr(Protocol, name)).parameters) == list(
            inspect.signature(getattr(impl.HttpToolsProtocol, name)).parameters
        )


def test_drain_waits_while_writing_is_paused() -> None:
    assert inspect.iscoroutinefunction(FlowControl.drain)
    assert "write_paused" in names(FlowControl.pause_writing)


def test_serving_asks_for_signals_in_the_place_that_we_empty() -> None:
    assert "capture_signals" in names(uvicorn.Server.serve)
    assert "signal" not in names(uvicorn.Server._serve)
    assert "should_exit" in names(uvicorn.Server.on_tick)
