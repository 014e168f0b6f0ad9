"""A form that plans a rollout: sent twice, by a finger or a browser, it makes one."""

import hashlib
from collections.abc import Awaitable

from otaru.apps.console.call import Call, Fields
from otaru.apps.console.session import session_of
from otaru.domain.rollout import Rollout
from otaru.ports.store import Tx
from otaru.services.control import rollouts
from otaru.services.control.once import Answer, Answers, Named
from otaru.services.control.rollouts import Intention
from otaru.services.control.world import World

MAX_KEY = 64


async def plan_once(call: Call, sent: Fields, intention: Intention) -> str:
    """Plan what a form asks for, whose field `key` tells it from others. The rollout's number.

    Raises:
        OtaruError: as `rollouts.create`.
        IdempotencyConflictError: another form had this key.
    """

    def work(world: World) -> Awaitable[Rollout]:
        return rollouts.create(world, call.tenant, call.actor, intention)

    def show(tx: Tx, made: Rollout) -> Answer:
        del tx
        return Answer(303, str(made.id).encode())

    named = None
    if key := sent.get("key", "")[:MAX_KEY]:
        asked = repr((call.request.url.path, sorted(sent.items()))).encode(errors="surrogatepass")
        digest = hashlib.sha256(asked).digest()
        named = Named(call.tenant, call.visitor.session, key, digest, session_of(call.request.scope))
    return (await Answers(call.world).give(named, work, show)).body.decode()
