"""What becomes of devices that come by themselves."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from otaru.domain.device import Hardware, Lifecycle, LifecycleEvent
from otaru.domain.enrollment import Approval, EnrollmentId, Wanted
from otaru.domain.events import START, Happening, Kind
from otaru.domain.ids import DeviceId, TenantId
from otaru.errors import (
    ClaimExpiredError,
    ClaimRevokedError,
    ClaimUsedUpError,
    DeviceRejectedError,
    HardwareMismatchError,
    InvalidInputError,
    InvalidStateError,
    KeyTakenError,
    NotFoundError,
    OtaruError,
    ProofError,
    ProofSpentError,
    ProofTimeError,
    SerialNotListedError,
    SerialTakenError,
    TooLargeError,
    UnauthenticatedError,
)
from otaru.ports.store import Claim, Tx, one
from otaru.services.control import authorities, credentials, devices, enrolling, enrollments, survey
from otaru.services.control.enrolling import Asked, Welcome
from otaru.services.control.enrollments import NewEnrollment, by_token
from otaru.services.control.world import SYSTEM, World
from otaru.trust.pki.certificates import named, read_request
from tests.support.certificates import authority
from tests.support.enrolling import Newborn, p256
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio

RPI4 = Hardware("rpi4")
NEW = NewEnrollment("line 3", 10, timedelta(days=30))


async def made(world: World, new: NewEnrollment = NEW) -> Claim:
    issued = await enrollments.create(world, ACME, SYSTEM, new)
    assert issued.token is not None
    assert issued.token.startswith("otaru-claim-")
    assert len(issued.token) >= 12 + 43  # 256 bits
    return by_token(issued.token)


async def only(world: World) -> Any:
    (claim,) = await enrollments.page(world, ACME, None, 10)
    return claim


async def comes(
    world: World, claim: Claim, device: str = "sn-1", tenant: TenantId | None = None, **more: Any
) -> Welcome:
    """A device without a key."""
    asked = Asked(DeviceId(device), more.pop("wanted", Wanted.TOKEN), more.pop("hardware", RPI4), **more)
    name, welcome = await enrolling.enroll(world, claim, tenant, asked)
    assert name == ACME
    return welcome


async def shows(world: World, claim: Claim, born: Newborn, wanted: Wanted = Wanted.TOKEN, **more: Any) -> Welcome:
    """A device with a key."""
    proof = more.pop("proof", None) or born.to_enroll(claim.digest, world.clock.now())
    return await comes(world, claim, born.id, wanted=wanted, public=born.public, proof=proof, **more)


def born(name: str = "sn-1", *, ec: bool = False) -> Newborn:
    return Newborn(name, p256(), ACME) if ec else Newborn(name, tenant=ACME)


async def opens(world: World, device: str, token: str) -> bool:
    import hashlib

    entry = await world.registry.device(ACME, DeviceId(device))
    assert entry is not None
    return entry.token_hash == hashlib.sha256(token.encode()).digest()


async def recorded(world: World, subject: str, kind: Kind) -> Sequence[Happening]:
    found = await survey.events(world, ACME, START, 100, subject, kinds=[kind])
    return [one_of.what for one_of in found]


async def test_a_device_comes_by_a_claim(world: World) -> None:
    claim = await made(world, replace(NEW, tags=frozenset({"may"})))
    welcome = await comes(world, claim, attributes={"mac": "00:11"})
    assert (welcome.device.lifecycle, welcome.again, welcome.waits) == (Lifecycle.ACTIVE, False, False)
    known = (await survey.device(world, ACME, DeviceId("sn-1"))).device
    assert (known.hardware, known.tags, known.attributes) == (RPI4, frozenset({"may"}), {"mac": "00:11"})
    assert not known.attributes_requested
    assert welcome.token is not None
    assert await opens(world, "sn-1", welcome.token)
    assert (await only(world)).used == 1
    (added,) = await recorded(world, "sn-1", Kind.DEVICE_ADDED)
    assert added.actor == "device:sn-1"
    assert added.data["claim"] == "line 3"


async def test_a_device_that_lost_the_answer_asks_again_and_counts_once(world: World) -> None:
    claim = await made(world, replace(NEW, quota=1))
    first = await comes(world, claim)
    again = await comes(world, claim)
    assert again.again
    assert again.token != first.token
    assert first.token is not None
    assert again.token is not None
    assert not await opens(world, "sn-1", first.token)
    assert await opens(world, "sn-1", again.token)
    assert (await only(world)).used == 1


async def heard(world: World, device: str) -> None:
    @one
    def contact(tx: Tx, name: str) -> None:
        tx.devices.contacts([(ACME, DeviceId(name), world.clock.now(), "127.0.0.1")])

    await world.store.write(contact, device)


async def test_without_a_key_nobody_takes_over_a_device_that_was_heard_of(world: World, clock: SettableClock) -> None:
    claim = await made(world)
    token = (await comes(world, claim)).token
    await heard(world, "sn-1")
    for _ in range(3):
        with pytest.raises(SerialTakenError):
            await comes(world, claim)
    assert token is not None
    assert await opens(world, "sn-1", token)
    (told,) = await recorded(world, "sn-1", Kind.DEVICE_DISPUTED)
    assert told.data["key"] == ""
    clock.ahead = timedelta(hours=2)
    with pytest.raises(SerialTakenError):
        await comes(world, claim)
    assert len(await recorded(world, "sn-1", Kind.DEVICE_DISPUTED)) == 2
    queue = await enrollments.queue(world, ACME, 10)
    assert [d.device for d in queue.disputes] == ["sn-1"]
    assert (await enrollments.queue(world, RIVAL, 10)).disputes == []


@pytest.mark.parametrize("ec", [False, True])
async def test_with_its_key_a_device_comes_back_after_it_was_heard_of(world: World, *, ec: bool) -> None:
    claim, device = await made(world), born(ec=ec)
    proof = device.to_enroll(claim.digest, world.clock.now())
    first = await shows(world, claim, device, proof=proof)
    await heard(world, "sn-1")
    with pytest.raises(ProofSpentError):
        await shows(world, claim, device, proof=proof)
    assert first.token is not None
    assert await opens(world, "sn-1", first.token)
    soon = device.to_enroll(claim.digest, world.clock.now() + timedelta(seconds=7))
    again = await shows(world, claim, device, proof=soon)
    assert again.token is not None
    assert await opens(world, "sn-1", again.token)
    assert (await only(world)).used == 1


async def test_another_key_does_not_get_the_serial(world: World) -> None:
    claim = await made(world)
    first = await shows(world, claim, born())
    thief = born()
    for attempt in (shows(world, claim, thief), comes(world, claim)):
        with pytest.raises(SerialTakenError):
            await attempt
    assert first.token is not None
    assert await opens(world, "sn-1", first.token)
    (told,) = await recorded(world, "sn-1", Kind.DEVICE_DISPUTED)
    assert told.data["key"] == thief.digest


async def test_a_device_that_was_added_by_hand_is_not_taken_over(world: World) -> None:
    await devices.add(world, ACME, SYSTEM, devices.NewDevice(DeviceId("sn-1"), RPI4, token="0123456789abcdef"))
    with pytest.raises(SerialTakenError):
        await shows(world, await made(world), born())
    assert await opens(world, "sn-1", "0123456789abcdef")
    assert len(await recorded(world, "sn-1", Kind.DEVICE_DISPUTED)) == 1


async def test_a_key_is_one_devices_and_once_revoked_nobodys(world: World) -> None:
    claim, device = await made(world), born()
    await shows(world, claim, device, Wanted.KEY)
    twin = Newborn("sn-2", device.key, ACME)
    with pytest.raises(KeyTakenError):
        await shows(world, claim, twin)
    assert (await only(world)).used == 1
    (credential,) = await credentials.page(world, ACME, DeviceId("sn-1"))
    await credentials.revoke(world, ACME, SYSTEM, DeviceId("sn-1"), credential.id)
    with pytest.raises(KeyTakenError):
        await shows(world, claim, device)


async def test_registering_a_key_gives_nothing_and_may_be_repeated_word_for_word(world: World) -> None:
    claim, device = await made(world), born()
    proof = device.to_enroll(claim.digest, world.clock.now())
    first = await shows(world, claim, device, Wanted.KEY, proof=proof)
    assert first.token is None
    again = await shows(world, claim, device, Wanted.KEY, proof=proof)
    assert again.again
    (credential,) = await credentials.page(world, ACME, DeviceId("sn-1"))
    assert credential.digest.hex() == device.digest


async def test_a_certificate_is_given_to_whom_asks_with_a_request(world: World) -> None:
    await authorities.create(world, ACME, SYSTEM)
    claim, device = await made(world), born(ec=True)
    request = read_request(device.csr().encode())
    proof = device.to_enroll(claim.digest, world.clock.now())
    welcome = await shows(world, claim, device, Wanted.CERTIFICATE, request=request, proof=proof)
    assert welcome.issued is not None
    assert named(welcome.issued.certificate) == (ACME, "sn-1")
    (credential,) = await credentials.page(world, ACME, DeviceId("sn-1"))
    assert (credential.kind, credential.digest.hex()) == ("certificate", device.digest)
    with pytest.raises(ProofSpentError):
        await shows(world, claim, device, Wanted.CERTIFICATE, request=request, proof=proof)
    soon = device.to_enroll(claim.digest, world.clock.now() + timedelta(seconds=7))
    again = await shows(world, claim, device, Wanted.CERTIFICATE, request=request, proof=soon)
    assert again.issued is not None
    assert len(await credentials.page(world, ACME, DeviceId("sn-1"))) == 1
    assert (await only(world)).used == 1


async def test_without_an_authority_no_certificate_and_no_device(world: World) -> None:
    claim, device = await made(world), born(ec=True)
    with pytest.raises(NotFoundError):
        await shows(world, claim, device, Wanted.CERTIFICATE, request=read_request(device.csr().encode()))
    assert (await only(world)).used == 0


async def test_devices_wait_for_whom_nobody_has_accepted(world: World, clock: SettableClock) -> None:
    claim, device = await made(world, replace(NEW, approval=Approval.MANUAL)), born()
    proof = device.to_enroll(claim.digest, world.clock.now())
    for again in (False, True):
        welcome = await shows(world, claim, device, proof=proof)
        assert (welcome.waits, welcome.token, welcome.again) == (True, None, again)
    assert (await only(world)).used == 1
    queue = await enrollments.queue(world, ACME, 10)
    assert [(w.device.id, w.by and w.by.label) for w in queue.waiting] == [("sn-1", "line 3")]
    assert queue.total == 1
    await devices.move(world, ACME, SYSTEM, DeviceId("sn-1"), LifecycleEvent.ACCEPT)
    clock.ahead = timedelta(hours=3)
    welcome = await shows(world, claim, device)
    assert welcome.token is not None
    assert await opens(world, "sn-1", welcome.token)
    assert (await enrollments.queue(world, ACME, 10)).waiting == []


async def test_a_rejected_device_is_told_so(world: World) -> None:
    claim, device = await made(world, replace(NEW, approval=Approval.MANUAL)), born()
    await shows(world, claim, device)
    await devices.move(world, ACME, SYSTEM, DeviceId("sn-1"), LifecycleEvent.REJECT)
    for _ in range(2):
        with pytest.raises(DeviceRejectedError):
            await shows(world, claim, device)
    with pytest.raises(InvalidStateError):
        await devices.move(world, ACME, SYSTEM, DeviceId("sn-1"), LifecycleEvent.ACCEPT)


async def test_what_a_claim_does_not_let_in(world: World, clock: SettableClock) -> None:
    claim = await made(world, replace(NEW, quota=2, hardware=RPI4, life=timedelta(days=1)))
    with pytest.raises(HardwareMismatchError) as wrong:
        await comes(world, claim, hardware=Hardware("rpi5"))
    assert wrong.value.facts == {"expected": "rpi4", "reported": "rpi5"}
    assert (await comes(world, claim, "b", hardware=Hardware("rpi4", "b"))).device.hardware == Hardware("rpi4", "b")
    assert (await comes(world, claim, "a", hardware=None)).device.hardware == RPI4
    with pytest.raises(ClaimUsedUpError) as full:
        await comes(world, claim, "c")
    assert full.value.facts == {"quota": 2}
    clock.ahead = timedelta(days=1)
    with pytest.raises(ClaimExpiredError):
        await comes(world, claim, "a")
    await enrollments.revoke(world, ACME, SYSTEM, (await only(world)).id)
    with pytest.raises(ClaimRevokedError):
        await comes(world, claim, "a")
    assert (await only(world)).used == 2


async def test_a_claim_is_its_tenants(world: World) -> None:
    claim = await made(world)
    with pytest.raises(UnauthenticatedError):
        await comes(world, claim, tenant=RIVAL)
    with pytest.raises(UnauthenticatedError):
        await comes(world, by_token("otaru-claim-guessed"))
    with pytest.raises(NotFoundError):
        await enrollments.show(world, RIVAL, (await only(world)).id)
    assert (await comes(world, claim, tenant=ACME)).token


async def test_only_listed_serials(world: World) -> None:
    claim = await made(world, replace(NEW, listed=True))
    with pytest.raises(SerialNotListedError):
        await comes(world, claim)
    name = (await only(world)).id
    serials = [DeviceId(f"sn-{n}") for n in range(5)]
    _, added = await enrollments.list_serials(world, ACME, SYSTEM, name, serials)
    assert added == 5
    _, added = await enrollments.list_serials(world, ACME, SYSTEM, name, serials)
    assert added == 0
    assert (await comes(world, claim)).token
    with pytest.raises(SerialNotListedError):
        await comes(world, claim, "sn-5")
    with pytest.raises(TooLargeError):
        await enrollments.list_serials(world, ACME, SYSTEM, name, [DeviceId("x")] * 5001)
    with pytest.raises(NotFoundError):
        await enrollments.list_serials(world, ACME, SYSTEM, EnrollmentId("nothing"), serials)


async def test_a_list_has_its_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrollments, "MAX_SERIALS", 3)
    await made(world, replace(NEW, listed=True))
    name = (await only(world)).id
    with pytest.raises(TooLargeError):
        await enrollments.list_serials(world, ACME, SYSTEM, name, [DeviceId(n) for n in "abcd"])
    assert (await only(world)).serials == 0


async def test_a_claim_for_every_serial_has_no_list(world: World) -> None:
    await made(world)
    with pytest.raises(InvalidStateError):
        await enrollments.list_serials(world, ACME, SYSTEM, (await only(world)).id, [DeviceId("a")])


async def test_a_proof_is_of_this_device_this_claim_and_now(world: World) -> None:
    claim, device, now = await made(world), born(), world.clock.now()
    other = born("sn-2")
    for proof in (
        other.to_enroll(claim.digest, now),
        Newborn("sn-2", device.key, ACME).to_enroll(claim.digest, now),
        Newborn("sn-1", device.key, RIVAL).to_enroll(claim.digest, now),
        device.to_enroll(b"x" * 32, now),
        replace(device.to_enroll(claim.digest, now), time_s=int(now.timestamp()) - 1),
        device.for_grant(now),
    ):
        with pytest.raises(ProofError):
            await shows(world, claim, device, proof=proof)
    for minutes in (-6, 6):
        with pytest.raises(ProofTimeError) as late:
            await shows(world, claim, device, proof=device.to_enroll(claim.digest, now + timedelta(minutes=minutes)))
        assert abs(late.value.facts["server_time"] - now.timestamp()) < 60
    assert (await only(world)).used == 0
    with pytest.raises(InvalidInputError):
        await comes(world, claim, wanted=Wanted.KEY)


@pytest.mark.parametrize(
    "new",
    [
        replace(NEW, label=""),
        replace(NEW, label="a\nb"),
        replace(NEW, label="x" * 129),
        replace(NEW, quota=0),
        replace(NEW, quota=10_000_001),
        replace(NEW, life=timedelta(0)),
        replace(NEW, life=timedelta(days=3651)),
        replace(NEW, tags=frozenset(f"t{n}" for n in range(51))),
        replace(NEW, certificate="nothing"),
    ],
)
async def test_what_no_claim_may_be(world: World, new: NewEnrollment) -> None:
    with pytest.raises((InvalidInputError, TooLargeError)):
        await enrollments.create(world, ACME, SYSTEM, new)
    assert await enrollments.page(world, ACME, None, 10) == []


async def test_a_certificate_is_a_claim(world: World) -> None:
    factory = authority("factory")
    line = factory.device("line-3", days=36_500)
    chain = (line.pem + factory.pem).decode()
    new = replace(NEW, certificate=chain)
    with pytest.raises(InvalidInputError):
        await enrollments.create(world, ACME, SYSTEM, replace(NEW, certificate=line.pem.decode()))
    assert (await enrollments.create(world, ACME, SYSTEM, new)).token is None
    key = read_key_digest(line)
    (issuer,) = await enrolling.issuers(world, ACME, key)
    assert issuer == read_key_digest(factory)
    assert await enrolling.issuers(world, RIVAL, key) == []
    claim = Claim(key, issuer)
    assert (await comes(world, claim, tenant=ACME)).token
    with pytest.raises(UnauthenticatedError):
        await comes(world, claim, tenant=RIVAL)
    with pytest.raises(UnauthenticatedError):
        await comes(world, Claim(key), tenant=ACME)


def read_key_digest(certificate: Any) -> bytes:
    from otaru.trust.pki.certificates import key_in

    return key_in(certificate.certificate)


async def test_what_is_said_of_a_device_is_bounded(world: World) -> None:
    claim = await made(world)
    bad: list[dict[str, str]] = [{"": "a"}, {"a\n": "b"}, {"a": "b" * 2049}, {str(n): "" for n in range(201)}]
    for attributes in bad:
        with pytest.raises(OtaruError):
            await comes(world, claim, attributes=attributes)
    assert (await only(world)).used == 0
