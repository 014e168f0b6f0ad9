"""How commands are written: functions that take an `Api`, a `Printer`, or both, beside what they read from the line.

`command` gives each function's command line the options that belong to what it takes, the same everywhere:
an `Api` brings `--server`, `--token` and `--ca`, a `Printer` brings `--json`, a dataclass its fields. A function returns
its exit code, or None when it is done.
"""

import inspect
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import is_dataclass
from typing import Annotated, Any, NewType

import typer

from otaru.apps.cli.client import Api
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Printer, remark
from otaru.errors import InvalidInputError

DEFAULT_SERVER = "http://127.0.0.1:8080"

Server = Annotated[
    str | None,
    typer.Option(metavar="URL", help=f"The server (OTARU_SERVER, else {DEFAULT_SERVER}).", show_default=False),
]
Token = Annotated[
    str | None, typer.Option(metavar="TOKEN", help="An API token (better: OTARU_TOKEN).", show_default=False)
]
Ca = Annotated[
    str | None, typer.Option(metavar="FILE", help="CA certificates to trust, PEM (OTARU_CA).", show_default=False)
]
Limit = Annotated[int, typer.Option(min=0, max=1_000_000, help="How many at most; 0 for all.")]
Cursor = Annotated[str | None, typer.Option(help="Go on where an earlier page ended (its `next`).", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.", show_default=False)]

_CONNECTION: dict[str, tuple[Any, Any]] = {"server": (Server, None), "token": (Token, None), "ca": (Ca, None)}
_PRINTING: dict[str, tuple[Any, Any]] = {"json": (Json, False)}

Visitor = NewType("Visitor", Api)
"""An `Api` for what everybody may read: it takes a token, and works without one."""

Function = Callable[..., Exit | None]


def group(text: str) -> typer.Typer:
    """A noun: a group of commands that says what it is for."""
    return typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def command(noun: typer.Typer, verb: str) -> Callable[[Function], Function]:
    """Make the function below the command `verb` of `noun`."""

    def register(function: Function) -> Function:
        noun.command(verb)(_runnable(function))
        return function

    return register


def connect(server: str | None, token: str | None, ca: str | None, *, known: bool = True) -> Api:
    """A client of the server that the flags or the environment name; `known`: only with a token.

    Raises:
        InvalidInputError: no token is given, or the address is none.
    """
    token = token or os.environ.get("OTARU_TOKEN", "").strip() or None
    if token is None and known:
        raise InvalidInputError(
            "no API token is given",
            hint="Set OTARU_TOKEN (or --token). Make one on the server's machine: otaru token create --data DIR --role admin",
        )
    return Api(address(server), token, ca=ca or os.environ.get("OTARU_CA") or None)


def address(server: str | None) -> str:
    """The server's address: the flag's, else the environment's, else this machine."""
    return server or os.environ.get("OTARU_SERVER") or DEFAULT_SERVER


def _runnable(function: Function) -> Callable[..., None]:
    """What typer runs: with the options of what `function` takes, and its exit code raised."""
    takes = inspect.signature(function, eval_str=True).parameters
    api = next((name for name, p in takes.items() if p.annotation in {Api, Visitor}), None)
    printer = next((name for name, p in takes.items() if p.annotation is Printer), None)
    rest = {name: p for name, p in takes.items() if name not in {api, printer}}
    many = {
        name: inspect.signature(p.annotation).parameters
        for name, p in rest.items()
        if isinstance(p.annotation, type) and is_dataclass(p.annotation)
    }
    own = [option for name, p in rest.items() for option in (many[name].values() if name in many else [p])]
    added = (_CONNECTION if api else {}) | (_PRINTING if printer else {})

    def run(**given: Any) -> None:
        with ExitStack() as stack:
            if printer:
                given[printer] = Printer(json=given.pop("json"))
            if api:
                given[api] = stack.enter_context(
                    connect(*(given.pop(name) for name in _CONNECTION), known=takes[api].annotation is Api)
                )
            for name, fields in many.items():
                given[name] = takes[name].annotation(**{field: given.pop(field) for field in fields})
            code = function(**given)
        if code:
            raise typer.Exit(code)

    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in added.items()
    ]
    keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    run.__doc__ = function.__doc__
    run.__name__ = function.__name__
    run.__signature__ = inspect.Signature([*keywords, *options])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (*keywords, *options)}
    return run


def more(printer: Printer, page: dict[str, Any]) -> None:
    """Tell people that a list goes on."""
    if not printer.json and page.get("next"):
        remark("… there is more: --limit 0 shows all of it.")
