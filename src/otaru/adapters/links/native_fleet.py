"""The device side of the native road for simulated fleets: on the connections that all devices of a process share.

It speaks the native road and is asked as `DdiLink` is, so a simulated device lives the same life on either. A real device's
link is `native.py`.
"""

from collections.abc import Mapping

from yarl import URL

from otaru.adapters.links.ddi import Credential, DdiLink, Wire
from otaru.domain import link
from otaru.domain.device import Merge
from otaru.domain.ids import ActionId
from otaru.domain.link import Batch, Note, Offer, Told
from otaru.domain.urgency import Urgency
from otaru.errors import NotFoundError
from otaru.protocols.ddi import words
from otaru.protocols.ddi.words import Channel, Deployment, Feedback, File, Handling, Links, Root, Window
from otaru.protocols.native import codec
from otaru.protocols.native.codec import Form

_ANSWERS = {words.Answer.CONFIRMED: link.Answer.APPROVE, words.Answer.DENIED: link.Answer.REJECT}


class NativeFleetLink(DdiLink):
    """One device's side of the road."""

    __slots__ = ("_place", "_tag", "_told")

    def __init__(self, wire: Wire, device: str, credential: Credential) -> None:
        super().__init__(wire, wire.base / device, credential)
        self._place = (wire.origin / "device" / "v1").with_query(device=device, tenant=wire.tenant)
        self._tag = ""
        self._told: Told | None = None

    def forget(self) -> None:
        """As after a reboot: the next poll asks for the whole answer."""
        self._tag, self._told = "", None

    async def poll(self) -> Root:
        """Ask what is due. Raises as `DdiLink.poll`, like every method."""
        conditional = {"If-None-Match": self._tag} if self._told is not None and self._tag else {}
        status, headers, body = await self._send("GET", self._at("poll"), None, conditional)
        if status != 304 or self._told is None:
            told, _ = codec.read_told(body, Form.JSON)
            self._tag, self._told = headers.get("ETag", ""), told
        return _root(self._told)

    async def configure(self, href: str, attributes: Mapping[str, str], mode: Merge = Merge.MERGE) -> None:
        """Report the device's attributes."""
        await self._send("POST", self._at(href), codec.description(attributes, mode, Form.JSON))

    async def deployment(self, href: str) -> Deployment:
        """The offer that the last poll told of."""
        return _deployment(self._offer(href))

    async def confirmation(self, href: str) -> Deployment:
        """The offer that waits for consent."""
        return _deployment(self._offer(href))

    async def confirm(self, action: ActionId, answer: words.Answer, *sentences: str) -> None:
        """Say yes or no to an offer that waits for consent."""
        body = codec.decision(action, _ANSWERS[answer], None, " ".join(sentences), Form.JSON)
        await self._send("POST", self._at("consent"), body)

    async def cancellation(self, href: str) -> ActionId:
        """Which action is called off."""
        return ActionId(int(href))

    async def report(self, action: ActionId, said: Feedback, channel: Channel = Channel.DEPLOYMENT) -> None:
        """Say how it goes. The same words of an action are the same note."""
        event = words.event(channel, said)
        note = Note(words.digest(channel, said).hex(), action, event, text=said.messages)
        _, _, body = await self._send("POST", self._at("reports"), codec.batch(Batch((note,)), Form.JSON))
        (heard,) = codec.read_kept(body, Form.JSON)
        if heard.state is None:
            raise NotFoundError(f"the server knows no action {action}")

    def _at(self, what: str) -> URL:
        return (self._place / what).with_query(self._place.query)

    def _offer(self, href: str) -> Offer:
        offer = None if self._told is None else self._told.offer
        if offer is None or str(offer.action) != href:
            raise NotFoundError(f"action {href} is no longer due")
        return offer


def _root(told: Told) -> Root:
    offer = told.offer
    due = None if offer is None or not offer.may_begin else str(offer.action)
    waiting = None if offer is None or offer.may_begin else str(offer.action)
    return Root(
        told.poll_after,
        Links(
            config_data="attributes" if told.describe else None,
            deployment_base=due,
            cancel_action=None if told.cancel is None else str(told.cancel),
            confirmation_base=waiting,
        ),
    )


def _deployment(offer: Offer) -> Deployment:
    file = offer.files[0]
    handling = Handling.FORCED if offer.urgency is Urgency.FORCED else Handling.ATTEMPT
    window = None
    if offer.window is not None:
        window = Window.AVAILABLE if offer.window.is_open else Window.UNAVAILABLE
    return Deployment(
        action=offer.action,
        download=handling,
        update=handling,
        part=file.component,
        name=offer.product,
        version=offer.version,
        file=File(file.filename, file.sha256, "", "", file.size, file.addresses[-1]),
        window=window,
        conditions=offer.conditions,
    )
