"""Log in by a one-time link or by an API token; log out.

A login link works once. Opening it shows a button and changes nothing, since programs that preview links open them too;
the button's POST exchanges the code for a session. A token is exchanged too: the browser keeps a session that dies with
the token, never the token.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from otaru.apps.console import rendering
from otaru.apps.console.session import COOKIE, refuse_other_pages, session_of
from otaru.domain.token import TokenKind
from otaru.errors import InvalidInputError, UnauthenticatedError
from otaru.services.control import tokens
from otaru.services.control.world import World

Answer = Callable[[Request], Awaitable[Response]]

_MAX_FORM = 8192
_MAX_NEXT = 2048


def ways(world: World, public_url: str) -> tuple[tuple[str, str, Answer], ...]:
    """Method, address and function of logging in and out."""

    async def ask(request: Request) -> Response:
        code = request.query_params.get("code", "")[:512]
        return _form(code=code, back=inside(request.query_params.get("next", "")))

    async def log_in(request: Request) -> Response:
        refuse_other_pages(request.scope, public_url)
        form = _read(await request.body())
        code, secret, back = form.get("code", ""), form.get("token", "").strip(), inside(form.get("next", ""))
        try:
            session = await (tokens.open_session(world, secret) if secret else tokens.log_in(world, code))
        except UnauthenticatedError:
            return _form(403, code="", back=back, wrong="token" if secret or not code else "code")
        answer = RedirectResponse(back, 303, headers=rendering.HEADERS)
        expires = session.token.expires_at
        left = tokens.SESSION_LIFE if expires is None else expires - world.clock.now()
        _set_cookie(request, answer, session.secret, max(1, int(left.total_seconds())))
        return answer

    async def log_out(request: Request) -> Response:
        refuse_other_pages(request.scope, public_url)
        if secret := session_of(request.scope):
            try:
                session = await tokens.check(world, secret, TokenKind.SESSION)
                await tokens.revoke(world, session.tenant, tokens.user(session), session.id)
            except UnauthenticatedError:
                pass  # it had ended before
        answer = RedirectResponse("/login", 303, headers=rendering.HEADERS)
        _set_cookie(request, answer, "", 0)
        return answer

    return ("GET", "/login", ask), ("POST", "/login", log_in), ("POST", "/logout", log_out)


def _form(status: int = 200, *, code: str, back: str, wrong: str = "") -> Response:
    answer = rendering.page("login.html", status, code=code, back=back, wrong=wrong, visitor=None)
    answer.headers["Referrer-Policy"] = "no-referrer"  # the address holds the code
    return answer


def _read(body: bytes) -> dict[str, str]:
    try:
        form = parse_qs(body[:_MAX_FORM].decode(), max_num_fields=8)
    except ValueError:
        raise InvalidInputError("this is not the login form", hint="Open the login page again.") from None
    return {name: values[0] for name, values in form.items()}


def inside(address: str) -> str:
    """Where to go after login: only within the console, whoever made the link; else to the overview."""
    ours = address.startswith("/") and not address.startswith(("//", "/\\")) and len(address) <= _MAX_NEXT
    return address if ours and address.isprintable() else "/"


def _set_cookie(request: Request, answer: Response, secret: str, max_age_s: int) -> None:
    secure = request.scope["scheme"] == "https"
    answer.set_cookie(COOKIE, secret, max_age_s, path="/", secure=secure, httponly=True, samesite="lax")
