import asyncio
from datetime import timedelta

import pytest

from otaru.domain.access import Role
from otaru.domain.events import START
from otaru.domain.token import TokenKind
from otaru.errors import InvalidInputError, NotFoundError, UnauthenticatedError
from otaru.services.control import survey, tokens
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio


async def test_a_token_is_good_until_it_expires(world: World, clock: SettableClock) -> None:
    issued = await tokens.create(world, ACME, SYSTEM, Role.VIEWER, "ci", timedelta(hours=1))
    assert await tokens.check(world, issued.secret) == issued.token
    clock.ahead = timedelta(hours=1)
    with pytest.raises(UnauthenticatedError):
        await tokens.check(world, issued.secret)


async def test_a_token_is_dead_as_soon_as_it_is_revoked(world: World) -> None:
    issued = await tokens.create(world, ACME, SYSTEM, Role.VIEWER)
    with pytest.raises(NotFoundError):
        await tokens.revoke(world, RIVAL, SYSTEM, issued.token.id)
    await tokens.revoke(world, ACME, SYSTEM, issued.token.id)
    await tokens.revoke(world, ACME, SYSTEM, issued.token.id)
    with pytest.raises(UnauthenticatedError):
        await tokens.check(world, issued.secret)
    kinds = [e.what.kind for e in await survey.events(world, ACME, START, 10, subject=issued.token.id)]
    assert kinds == ["token.created", "token.revoked"]


async def test_kinds_of_secrets_do_not_stand_in_for_each_other(world: World) -> None:
    api = await tokens.create(world, ACME, SYSTEM, Role.ADMIN)
    code = await tokens.login_code(world, ACME)
    session = await tokens.log_in(world, await tokens.login_code(world, ACME))
    for secret, kind in ((api.secret, TokenKind.API), (code, TokenKind.LOGIN), (session.secret, TokenKind.SESSION)):
        for asked in TokenKind:
            if asked is kind:
                await tokens.check(world, secret, asked)
            else:
                with pytest.raises(UnauthenticatedError):
                    await tokens.check(world, secret, asked)
    with pytest.raises(UnauthenticatedError):
        await tokens.log_in(world, api.secret)


async def test_of_many_who_use_one_login_code_one_is_let_in(world: World) -> None:
    code = await tokens.login_code(world, ACME, Role.OPERATOR, "laptop")
    found = await asyncio.gather(*(tokens.log_in(world, code) for _ in range(8)), return_exceptions=True)
    (session,) = [f for f in found if not isinstance(f, BaseException)]
    assert all(isinstance(f, UnauthenticatedError) for f in found if f is not session)
    token = session.token
    assert (token.tenant, token.role, token.label, token.kind) == (ACME, Role.OPERATOR, "laptop", TokenKind.SESSION)


async def test_a_login_code_dies_in_an_hour_and_a_session_in_half_a_day(world: World, clock: SettableClock) -> None:
    first, second = [await tokens.login_code(world, ACME) for _ in range(2)]
    session = await tokens.log_in(world, first)
    clock.ahead = tokens.LOGIN_LIFE
    with pytest.raises(UnauthenticatedError):
        await tokens.log_in(world, second)
    await tokens.check(world, session.secret, TokenKind.SESSION)
    clock.ahead = tokens.SESSION_LIFE
    with pytest.raises(UnauthenticatedError):
        await tokens.check(world, session.secret, TokenKind.SESSION)


async def test_pages_hold_api_tokens_only(world: World) -> None:
    issued = [(await tokens.create(world, ACME, SYSTEM, Role.VIEWER)).token for _ in range(3)]
    await tokens.log_in(world, await tokens.login_code(world, ACME))
    assert await tokens.page(world, ACME, None, 10) == issued
    assert await tokens.page(world, ACME, issued[0].id, 1) == issued[1:2]
    assert await tokens.page(world, RIVAL, None, 10) == []


@pytest.mark.parametrize(
    ("label", "life"), [("a\nb", None), ("x" * 129, None), ("", timedelta(0)), ("", timedelta(days=4000))]
)
async def test_labels_and_lives_are_bounded(world: World, label: str, life: timedelta | None) -> None:
    with pytest.raises(InvalidInputError):
        await tokens.create(world, ACME, SYSTEM, Role.VIEWER, label, life)


@pytest.mark.parametrize("secret", ["", "x" * 513, "\ud800", "é"])
async def test_secrets_that_are_none(world: World, secret: str) -> None:
    with pytest.raises(UnauthenticatedError):
        await tokens.check(world, secret)
