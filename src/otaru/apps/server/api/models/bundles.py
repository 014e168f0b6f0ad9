"""Bundles for places without a network and receipts from there, as the API shows and takes them."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import Field

from otaru.apps.server.api.models.fields import Body, DeviceName, Out, Target, WholeNumber
from otaru.apps.server.api.models.keys import MissingOut
from otaru.apps.server.roads.native_offer import offered, offered_file
from otaru.domain.bundle import MOST, Exported
from otaru.domain.deployment import State
from otaru.domain.ids import DeviceId, RolloutId
from otaru.domain.link import Told
from otaru.protocols.bundle import FILES, Order, device_file, order
from otaru.protocols.receipt import MAX_RECEIPT
from otaru.services.control.bundles import Made, Passenger, Wanted
from otaru.services.control.receipts import Taken

MAX_RECEIPTS = 20
_DAY_S = 86_400


class BundleIn(Body):
    """Which devices of a rollout a stick is for, and how long it holds."""

    rollout: Annotated[WholeNumber, Field(ge=1, lt=2**31, description="The rollout's number. It has to run.")]
    target: Annotated[Target | None, Field(description="Which of its devices; all without it.")] = None
    expires_in_s: Annotated[
        WholeNumber, Field(ge=60, le=int(MOST.total_seconds()), description="How long the bundle holds.")
    ] = 30 * _DAY_S
    after: Annotated[DeviceName | None, Field(description="Go on after this device: `next` of the bundle before.")] = (
        None
    )

    def parsed(self, now: datetime) -> Wanted:
        """As the service takes it."""
        after = None if self.after is None else DeviceId(self.after)
        return Wanted(RolloutId(self.rollout), now + timedelta(seconds=self.expires_in_s), self.target, after)


class BundleOut(Out):
    """A bundle that was exported."""

    id: str
    rollout: int
    actor: str
    created_at: datetime
    expires_at: datetime
    devices: Annotated[int, Field(description="How many devices' orders are in it.")]
    sha256: Annotated[str, Field(description="Of what people sign for.")]

    @classmethod
    def of(cls, known: Exported) -> "BundleOut":
        """As it is remembered."""
        return cls(**_facts(known))


class BundledFile(Out):
    """A file that devices of a bundle need."""

    sha256: str
    size: int
    filename: str


class OrderOut(Out):
    """One device's order."""

    device: str
    action: int
    file: Annotated[str, Field(description="Where it lies in the bundle's folder.")]
    content: Annotated[str, Field(description="The file, byte for byte (docs/offline.md).")]


class MadeOut(BundleOut):
    """All that is to be written to a medium, beside the files."""

    document: Annotated[dict[str, Any], Field(description="What people sign for: `signed` and `signatures`.")]
    missing: Annotated[MissingOut | None, Field(description="Signatures that it still needs.")]
    orders: list[OrderOut]
    image: Annotated[dict[str, str], Field(description="The image repository's metadata, by file name.")]
    director: Annotated[dict[str, str], Field(description="The director's roots, by file name.")]
    proof: Annotated[str, Field(description="That the release is in the release log; empty: not yet.")]
    files: list[BundledFile]
    left_out: Annotated[
        dict[str, int],
        Field(
            description="How many members are told nothing now, by the rule that holds them back; `unsigned`: later."
        ),
    ]
    next: Annotated[str | None, Field(description="There are more devices: `after` of the next bundle.")]

    @classmethod
    def made(cls, made: Made) -> "MadeOut":
        """As it was made."""
        artifacts = {found.blob.sha256: found for one in made.passengers for found in one.due.artifacts}
        return cls(
            **_facts(made.exported),
            document=made.bundle.document.to_dict(),
            missing=None if made.missing is None else MissingOut.of(made.missing),
            orders=[_order(made, one) for one in made.passengers],
            image={name: data.decode() for name, data in made.image.items()},
            director={name: data.decode() for name, data in made.director.items()},
            proof=made.proof,
            files=[
                BundledFile(sha256=digest, size=one.blob.size, filename=one.filename)
                for digest, one in sorted(artifacts.items())
            ],
            left_out=dict(made.left_out),
            next=made.next,
        )


class ReceiptsIn(Body):
    """Receipts as devices have written them."""

    receipts: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_RECEIPT)]],
        Field(min_length=1, max_length=MAX_RECEIPTS, description="The files, as text."),
    ]


class ReceiptOut(Out):
    """What became of a receipt, in the order in which they were sent."""

    taken: bool
    device: str
    bundle: str
    moved: Annotated[bool, Field(description="It told something that was not known.")]
    actions: Annotated[dict[int, State], Field(description="Where each action that it speaks of is now.")]
    code: Annotated[str, Field(description="Why it was refused; empty where it was taken.")]
    detail: str

    @classmethod
    def of(cls, taken: Taken) -> "ReceiptOut":
        """One that was taken."""
        actions = {int(action): state for action, state in taken.actions.items()}
        return cls(
            taken=True,
            device=taken.device,
            bundle=taken.bundle,
            moved=taken.moved,
            actions=actions,
            code="",
            detail="",
        )

    @classmethod
    def refused(cls, device: str, code: str, detail: str) -> "ReceiptOut":
        """One that was not."""
        return cls(taken=False, device=device, bundle="", moved=False, actions={}, code=code, detail=detail)


class ReceiptsOut(Out):
    """What became of receipts."""

    items: list[ReceiptOut]


def _facts(known: Exported) -> dict[str, Any]:
    return {
        "id": known.id,
        "rollout": known.rollout,
        "actor": known.actor,
        "created_at": known.created_at,
        "expires_at": known.expires_at,
        "devices": known.devices,
        "sha256": known.digest,
    }


def _order(made: Made, one: Passenger) -> OrderOut:
    files = [offered_file(found, (f"{FILES}/{found.blob.sha256}",), ()) for found in one.due.artifacts]
    offer = offered(one.due, one.subject, made.tenant, None, files, made.exported.created_at)
    told = Told(timedelta(0), offer)
    content = order(Order(told, one.issued.timestamp, one.issued.snapshot, one.issued.targets))
    device = one.subject.id
    return OrderOut(device=device, action=one.due.membership.action, file=device_file(device), content=content.decode())
