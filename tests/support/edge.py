"""A device with a model disk, a bootloader and an agent that is started anew after each cut; and its server, in memory.

The server's words on the link are those of the native road; how it takes them is `domain.deployment`'s own table. Metadata
is really signed and really verified.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256

from tuf.api.metadata import TargetFile

from otaru.adapters.board.bootloaders import FileBootloader, select
from otaru.adapters.board.disk import make_folders
from otaru.adapters.board.files import FilesInstaller
from otaru.adapters.board.journal import FileJournal, FileVault
from otaru.adapters.board.outbox import FileOutbox
from otaru.adapters.board.raw import RawInstaller
from otaru.adapters.board.staging import FolderStaging
from otaru.adapters.clock import SystemClock
from otaru.domain import deployment
from otaru.domain.device import Hardware, Merge
from otaru.domain.errand import State as ErrandState
from otaru.domain.errand import Went
from otaru.domain.health import Told as HealthTold
from otaru.domain.ids import ActionId, DeviceId, ProductName, RolloutId, Sha256, Version
from otaru.domain.link import Answer, Batch, File, Heard, Note, Offer, Patch, Taking, Told
from otaru.domain.terms import UpdateType
from otaru.domain.update import RESTING, State
from otaru.domain.update_record import Record
from otaru.errors import InvalidStateError, NotFoundError, OtaruError, StorageFullError, UnavailableError
from otaru.images.delta import patch
from otaru.images.delta.patch import Codec
from otaru.ports.board import Installer, Journal
from otaru.services.edge.fetch import Manner
from otaru.services.edge.parts import Identity, Parts, Patience
from otaru.services.edge.update import Updater
from otaru.trust.verify.state import provisioned
from otaru.trust.verify.steps import Want
from tests.support.images import Watched
from tests.support.keys import NOW
from tests.support.modeldisk import Fate, ModelDisk, PowerCut
from tests.support.site import TENANT, Site, a_target, ordered

DEVICE = "dev-1"
OLD_OS, OLD_APP = b"os 1.0.0 " * 3000, b"app 1.0.0 " * 2000


@dataclass
class Bytes:
    """`ports.link.Download` of bytes in memory, in pieces."""

    data: bytes
    first: int
    step: int = 16 * 1024

    @property
    def total(self) -> int | None:
        return len(self.data)

    tag = ""

    def __post_init__(self) -> None:
        self.at = self.first

    def read(self) -> bytes:
        piece = self.data[self.at : self.at + self.step]
        self.at += len(piece)
        return piece

    def close(self) -> None:
        pass


@dataclass
class Server:
    """One device's server: `ports.link.Link`, and what it knows afterwards."""

    site: Site = field(default_factory=Site)
    files: dict[str, bytes] = field(default_factory=dict)
    """By SHA-256."""
    patches: dict[str, tuple[Patch, ...]] = field(default_factory=dict)
    """By the SHA-256 of what they make."""
    opened: list[str] = field(default_factory=list)
    """SHA-256 of each file that was asked for."""
    asked: list[Taking | None] = field(default_factory=list)
    """What the device said of patches, poll by poll."""
    offer: Offer | None = None
    state: deployment.State = deployment.State.SCHEDULED
    heard: dict[str, Note] = field(default_factory=dict)
    """Notes by id: each counts once."""
    installed: Mapping[str, str] = field(default_factory=dict)
    outcomes: list[deployment.State] = field(default_factory=list)
    """Final states, as they were entered."""
    down: bool = False
    cancel: ActionId | None = None
    number: int = 0
    calls_off_at: int | None = None
    """The update is called off when it is asked for so often."""
    polls: int = 0
    polling: timedelta = timedelta(seconds=10)
    waits: list[timedelta] = field(default_factory=list)
    """How long it might have held back its answer, poll by poll."""
    holds: Callable[[timedelta], None] = lambda _: None
    """Does so."""

    def release(self, version: str, parts: Mapping[str, tuple[str, bytes]], **custom: object) -> list[TargetFile]:
        """Release a version: by component its installer and its bytes."""
        targets = []
        for component, (installer, data) in parts.items():
            path = f"app/stable/{version}/{component}.bin"
            target = a_target(path, data, component=component, installer=installer, version=version, **custom)
            targets.append(target)
            self.files[target.hashes["sha256"]] = data
        self.site.images.release(*targets)
        return targets

    def leads(self, old: bytes, new: bytes, codec: Codec = Codec.LZMA, **other: object) -> bytes:
        """Have a patch from these bytes to those; `other` is what the offer says of it falsely. The patch."""
        made = b"".join(patch.make(codec, Watched(old), Watched(new)))
        source, digest, full = (Sha256(sha256(data).hexdigest()) for data in (old, made, new))
        memory, at = patch.memory(Watched(made)), (f"/files/{digest}",)
        told = replace(Patch(source, codec.value, digest, len(made), memory, at), **other)  # type: ignore[arg-type]
        self.patches[full] = (*self.patches.get(full, ()), told)
        self.files[digest] = made
        return made

    def direct(self, version: str, targets: Sequence[TargetFile]) -> Offer:
        """Offer what was released, as a new action."""
        self.number += 1
        extra = {"bundleId": f"{self.number}/1", "bundleSize": len(targets), "action": self.number}
        self.site.director.order(DEVICE, *(ordered(target, **extra) for target in targets))
        files = tuple(
            File(
                target.custom["component"],
                "rpi4",
                target.path.rpartition("/")[2],
                target.length,
                Sha256(target.hashes["sha256"]),
                target.custom["installer"],
                (f"/files/{target.hashes['sha256']}",),
                self.patches.get(target.hashes["sha256"], ()),
            )
            for target in targets
        )
        self.offer = Offer(
            ActionId(self.number), RolloutId(1), ProductName("app"), Version(version), UpdateType.FIRMWARE, files
        )
        self.state = deployment.State.OFFERED
        return self.offer

    def _up(self) -> None:
        if self.down:
            raise UnavailableError("the server does not answer")

    def poll(self, wait: timedelta = timedelta(0), taking: Taking | None = None) -> Told:
        self._up()
        self.asked.append(taking)
        self.waits.append(wait)
        self.holds(wait)
        open_ = self.state in deployment.OPEN
        self.polls += 1
        if open_ and self.offer is not None and self.polls == self.calls_off_at:
            self.state, self.cancel = deployment.State.CANCELLING, self.offer.action
        offer = self.offer if open_ and self.cancel is None else None
        if offer is not None:
            offer = replace(offer, files=tuple(_for(taking, file) for file in offer.files))
        return Told(self.polling, offer, self.cancel)

    def report(self, said: Batch) -> list[Heard]:
        self._up()
        found = []
        for note in said.notes:
            own = self.offer is not None and note.action == self.offer.action
            if note.id not in self.heard and own:
                self.heard[note.id] = note
                self._fold(note)
            found.append(Heard(note.id, self.state if own else None))
        self.installed = dict(said.installed)
        return found

    def _fold(self, note: Note) -> None:
        after = deployment.fold(self.state, [] if note.event is None else [note.event])
        if after in deployment.FINAL and after is not self.state:
            self.outcomes.append(after)
            self.cancel = None
        self.state = after

    def metadata(self, want: Want) -> bytes | None:
        self._up()
        return self.site.answer(DEVICE, want)

    def open(self, address: str, first: int = 0, tag: str = "") -> Bytes:  # noqa: ARG002
        self._up()
        self.opened.append(address.rpartition("/")[2])
        data = self.files.get(self.opened[-1])
        if data is None:
            raise NotFoundError("no such file")
        return Bytes(data, first)

    def decide(
        self,
        action: ActionId,  # noqa: ARG002
        answer: Answer,  # noqa: ARG002
        until: datetime | None = None,  # noqa: ARG002
        reason: str = "",  # noqa: ARG002
    ) -> deployment.State:
        raise InvalidStateError("nobody is asked")

    def describe(self, attributes: Mapping[str, str], mode: Merge = Merge.MERGE) -> None: ...

    def tell(self, events: Sequence[HealthTold]) -> None: ...

    def errands(self, said: Sequence[Went]) -> dict[int, ErrandState | None]:
        return {one.number: None for one in said}

    def received(self, errand: int) -> int:
        raise NotFoundError(f"there is no errand {errand}")

    def send(self, errand: int, first: int, content: bytes, size: int, sha256: str) -> int:  # noqa: ARG002
        return self.received(errand)

    def close(self) -> None: ...


def _for(taking: Taking | None, file: File) -> File:
    """A file with the patches that a device is told of."""
    if taking is None:
        return replace(file, patches=())
    return replace(file, patches=tuple(one for one in file.patches if not taking.has or one.source in taking.has))


class Clock(SystemClock):
    """A clock of a test: no time passes of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.at = NOW
        self.passed = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.passed


@dataclass
class Check:
    """`HealthCheck` by what runs."""

    wrong_if: Callable[[], str]
    name: str = "check"

    def wrong(self) -> str:
        return self.wrong_if()


class Rebooted(PowerCut):
    """The agent had the device rebooted: as a cut, but that everything was written."""


class Power:
    def reboot(self) -> None:
        raise Rebooted


@dataclass
class WatchedJournal:
    """A journal that is looked at."""

    journal: Journal
    edges: set[tuple[State, State]]
    before: State = State.IDLE

    def load(self) -> Record:
        found = self.journal.load()
        self.before = found.state
        return found

    def put(self, record: Record) -> None:
        self.journal.put(record)
        self.edges.add((self.before, record.state))
        self.before = record.state


@dataclass
class Device:
    """A device from one start to the next."""

    server: Server
    disk: ModelDisk = field(default_factory=ModelDisk)
    clock: Clock = field(default_factory=Clock)
    dead: bool = False
    """The new os does not come up at all."""
    sick: bool = False
    """It comes up and is not healthy."""
    starts: int = 0
    edges: set[tuple[State, State]] = field(default_factory=set)
    """Steps that were written down."""
    changed: Callable[[Parts], Parts] = lambda parts: parts
    """What a test puts in a part's place."""
    manner: Manner = field(default_factory=Manner)
    slot: str = ""
    """What was started."""
    stays: bool = False
    """The agent alone was ended: the system goes on."""

    def provision(self) -> "Device":
        for folder in ("/data", "/slots", "/opt/app/versions/old"):
            make_folders(self.disk, folder)
        for path, data in (("/slots/a", OLD_OS), ("/slots/b", b""), ("/opt/app/versions/old/app.bin", OLD_APP)):
            self.disk.write_at(path, 0, data)
            self.disk.sync(path)
        self.disk.sync_folder("/slots")
        self.disk.sync_folder("/opt/app/versions/old")
        self.disk.link("/opt/app/current", "versions/old")
        self.disk.sync_folder("/opt/app")
        roots = self.server.site.director.roots["1.root.json"], self.server.site.images.files["1.root.json"]
        FileVault(self.disk, "/data/trust").put(provisioned(*roots, NOW - timedelta(days=30)))
        return self

    def boot(self) -> tuple[Updater, str]:
        """Power comes: the bootloader chooses, what it chose comes up or not, and the agent starts."""
        if not self.stays:
            self._select()
        slot, self.stays = self.slot, False
        installers = self.installers(FileBootloader(self.disk, "/data/boot", slot))
        check = Check(lambda: "sick" if self.sick and (self.os(slot), self.app()) != (OLD_OS, OLD_APP) else "")
        parts = Parts(
            Identity(TENANT, DeviceId(DEVICE), frozenset({Hardware("rpi4")}), NOW - timedelta(days=30)),
            WatchedJournal(FileJournal(self.disk, "/data/journal"), self.edges),
            FileVault(self.disk, "/data/trust"),
            FileOutbox(self.disk, "/data/outbox"),
            FolderStaging(self.disk, "/data/staging"),
            installers,
            [check],
            Power(),
            self.server,
            self.clock,
            lambda _: None,
            manner=self.manner,
            origins={name: one for name, one in installers.items() if isinstance(one, FilesInstaller | RawInstaller)},
            patience=Patience(health=timedelta(seconds=12)),
        )
        agent = Updater(self.changed(parts))
        self.disk.where = lambda: str(agent.record.state)
        return agent, slot

    def _select(self) -> None:
        self.slot, slot = "", ""
        for _ in range(10):
            self.starts += 1
            slot = select(self.disk, "/data/boot")
            if not (self.dead and self.os(slot) != OLD_OS):
                break
        self.slot = slot

    def installers(self, boot: FileBootloader) -> dict[str, Installer]:
        """Who installs, after a start."""
        return {
            "os": RawInstaller("os", self.disk, {"a": "/slots/a", "b": "/slots/b"}, boot, "/data/slots-os"),
            "app": FilesInstaller("app", self.disk, "/opt/app"),
        }

    def gone(self, how: PowerCut) -> None:
        """The agent is gone: with the power, or alone."""
        self.stays = self.disk.fate is Fate.ALONE and not isinstance(how, Rebooted) and bool(self.slot)
        self.disk.cut()

    def os(self, slot: str) -> bytes:
        return self.disk.read_at(f"/slots/{slot}", 0, 1 << 30)

    def app(self) -> bytes:
        (name,) = self.disk.names("/opt/app/current/")
        return self.disk.read_at(f"/opt/app/current/{name}", 0, 1 << 30)

    def live(self, until: Callable[["Device"], bool], starts: int = 60) -> "Outcome":
        """Boot, and work until the server knows the end, through whatever cuts there are."""
        for _ in range(starts):
            try:
                agent, slot = self.boot()
                self._started(agent)
                for _ in range(60):
                    wait = self._ticked(agent)
                    self.clock.passed += wait.total_seconds()
                    if agent.record.state in RESTING and until(self):
                        return Outcome(self.os(slot), self.app(), slot, agent)
                raise AssertionError(f"it does not end: {agent.record}")
            except PowerCut as how:
                self.gone(how)
            except (OSError, StorageFullError):
                continue  # not even the bootloader could write: it starts anew
        raise AssertionError("it is started again and again")

    def _started(self, agent: Updater) -> None:
        for _ in range(30):  # a service manager starts it again
            try:
                return agent.start()
            except (OSError, OtaruError):
                continue
        raise AssertionError("it does not start")

    def _ticked(self, agent: Updater) -> timedelta:
        try:
            return agent.tick()
        except (OSError, StorageFullError):
            return timedelta(seconds=30)


@dataclass
class Outcome:
    """What runs in the end."""

    os: bytes
    app: bytes
    slot: str
    agent: Updater


def begun(device: Device) -> Updater:
    """An agent that was started."""
    agent, _ = device.boot()
    agent.start()
    return agent


def rounds(agent: Updater, until: Callable[[], bool], most: int = 30) -> None:
    """Let it work until something has come about."""
    for _ in range(most):
        agent.tick()
        if until():
            return
    raise AssertionError(agent.record)
