"""Everything the REST API can do has a command, and every command that prints data prints one JSON document."""

import json
import os
import re
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import typer.main
from fastapi.routing import APIRoute

from otaru.apps.cli.app import app
from otaru.apps.server.api.routes import (
    alerts,
    anchors,
    artifacts,
    attributes,
    authorities,
    backups,
    blackouts,
    bundles,
    consent,
    credentials,
    devices,
    enrollments,
    errands,
    events,
    fleet,
    following,
    groups,
    keys,
    logs,
    monitoring,
    releases,
    rollouts,
    tenants,
    tokens,
)
from tests.support.command import call
from tests.support.images import anchor
from tests.support.relay import Relay, relay
from tests.support.server import Serving, serving

ELSEWHERE = {
    # A GET without its bytes: for other clients.
    ("HEAD", "/api/v1/artifacts/{sha256}/content"),
    # What a file that shrinks while it is sent leaves behind (tests/unit/apps/cli/test_uploads.py).
    ("DELETE", "/api/v1/uploads/{upload}"),
}

STORY = """
token create --role viewer --label tv --expires 1d
token list
token revoke TOKEN
tenant show
tenant set --poll-interval 1m --chunk-part zephyr=bApp --quota 50GiB --no-self-registration
tenant set --zone Europe/Paris --no-four-eyes --health-kept 14d
tenant set --chunk-part zephyr=
tenant set --telemetry-every 15m --telemetry-off load
tenant halt --reason lunch
tenant lift
tenant gateway-token
tenant gateway-token --remove
keys init --offline DIR --root 1 --root-threshold 1 --targets 1 --targets-threshold 1
keys make ALICE
keys delegate product.app.stable --key ALICE.pub -o REQUEST
keys sign REQUEST --key DIR/targets-1.pem
keys import REQUEST
keys status
keys anchor add swu TRUSTED
keys anchor list
keys anchor remove swu TRUSTED
device add d-1 --hardware default --tag lab --attr region=eu --installed app=0.9 --device-token 0123456789abcdef
device add d-2 --hardware default:b
device list --query tag==lab --count
device fields --values 5
device complete tag==l --at 6
device show d-1
device set d-1 --tag beta --untag lab --attr region=us --unset rack --installed app=0.95 --hardware default:b
device token d-2
device credential add d-2 --label spare --expires 30d
device credential list d-2
device credential revoke d-2 CREDENTIAL
device credential revoke d-2 CREDENTIAL => 3
ca init
ca init => 1
ca show
ca retire AUTHORITY
ca init --below
ca import FLEET => 2
device tell EVENTS
group add lab -q tag==beta --description tests
group add hand d-1
group add hand d-1 --from MEMBERS => 5
group add both -q group=in=(lab,hand)
group list
attribute declare rack number
attribute list
device set d-1 --attr rack=7
device attributes d-1
device history d-1 --attributes
device history d-1 --attributes --purge
device list -q attr.rack=lt=8;installed.app=lt=2;telemetry.battery>80
attribute drop rack
group show both
group monitor both --telemetry-every 15m --telemetry-off load --no-diagnostics --priority 3
group monitor both => 2
device monitoring d-1
group delete both => 1
group unmonitor both
group unmonitor both => 1
group set lab -q tag=in=(beta,lab)
group remove hand --from MEMBERS
group delete lab => 1
group delete both
device events d-1 --limit 1
device telemetry d-1
fleet telemetry
device diagnose d-1 --expires 2h
device run d-1 restart-app
device reboot d-1
device errands d-1
BACKUP
device backups d-1
device fetch-backup d-1 000001 -o GOT
device drop-backup d-1 000001
device drop-backup d-1 000001 => 1
device restore d-1 --backup 000001
device errand d-1 2
device recall d-1 2
device diagnostics d-1 1 -o GOT => 1
alert add low --when telemetry.battery<20 --of tag==beta --share 10% --mail ops@example.org
alert add low --when id==* => 1
alert list
alert show low
alert remove low
device pin d-2 --component app --reason demo
device pin d-2
device pin d-2 => 3
device unpin d-2
device quarantine d-2
device release d-2
device accept d-2 => 3
device reject d-2 => 1
device import FLEET
enrollment create line --quota 2 --expires 30d --serials SERIALS --hardware default --tag may --approve manual
enrollment create line-4 --quota 2
enrollment list
enrollment serials ENROLLMENT SERIALS => 1
enrollment show ENROLLMENT
enrollment revoke ENROLLMENT
artifact add SMALL
artifact list --limit 1
artifact show DIGEST
artifact fetch DIGEST -o GOT
artifact remove DIGEST
release add LARGE --name app --version 1.0 --hardware default --hardware other --notes news --draft
release publish app:1.0 => 4
keys request product.app.stable --release app:1.0 -o REQUEST-2
keys sign REQUEST-2 --key ALICE
keys import REQUEST-2
keys permit-downgrade d-1 --component app --counter 0 --until 2035-01-31 -o REQUEST-9
keys sign REQUEST-9 --key DIR/targets-1.pem
keys import REQUEST-9
keys permits d-1
keys make BOB --kind p256
keys rotate ALICE.pub --by BOB.pub -o REQUEST-3
keys revoke ALICE.pub => 4
keys sign REQUEST-3 --key DIR/targets-1.pem
keys sign REQUEST-3 --key BOB
keys import REQUEST-3
keys rekey product.app.stable --threshold 2 => 4
release add SMALL --name app --version 1.1 --artifact OTHER=other,third:c --hardware default --component os --notes @FLEET => 5
keys request product.app.stable --release app:1.1 -o REQUEST-4
keys sign REQUEST-4 --key BOB
keys import REQUEST-4
release list --product app
delta make app:1.1 --from 1.0 => 2
delta list app:1.1
release show app:1.1
product list
product set app --order dotted
blackout add --reason year's-end --from 2035-12-18T00:00:00Z --to 2036-01-01T00:00:00Z
blackout add --reason markets --window 08:00/1m
blackout list
blackout remove BLACKOUT
rollout preview --release app:1.0 --target id==* --split hardware --waves 1,50%,all --success 90% --error 0.1 --quorum 80%
rollout plan --release app:1.0 --target id==* --dry-run --failure 20%
rollout plan --release app:1.0 --target id==nobody => 3
rollout create --release app:1.0 --target id==d-1 --name first --waves 1,all --wave-timeout 2h --observe 1m --expires 7d
rollout start 1
rollout pause 1 --reason wait
rollout preview --release app:1.0 --target id==d-1 --judge sequential --alpha 1% --telemetry heat:high
rollout preview --release app:1.0 --target id==d-1 --judge rate --rate 50 --rate-every 100 --abort failed=20%@50
rollout hold-segment 1 1 --reason look
rollout release-segment 1 1
rollout resume 1
rollout devices 1 --state scheduled
rollout verdicts 1 --segment 1
POLL
rollout cancel 1 d-1 --force
rollout retry 1 --state cancelled
rollout list --state running --state paused
rollout rollback 1 --plan
rollout rollback 1 --reason reboots => 3
rollout show 1
fleet show
fleet versions --days 7
device history d-1
device why d-2
device reports d-1 1
rollout watch 1 --until wave:1
rollout create --release app:1.1 --target id==f-* --urgency soft --on-error stop --start-at 2036-01-01T00:00Z --approve start
rollout approve 2 --reason seen
rollout stop 1 --reason enough
rollout create --release app:1.1 --target id==f-1 --consent --postponements 2 --end-at 2036-02-01T00:00Z --ignore-blackout
rollout preview --release app:1.1 --target id==f-1 --priority 7 --max-in-flight 5 --max-per-minute 3 --max-per attr.site=2
rollout create --release app:1.1 --target id==d-1 --consent --consent-deadline 7d --postpone-for 3d --require battery>=30% --start
POLL
device postpone d-1 4 --for 1d
device approve d-1 4
device approve d-1 4 => 1
rollout cancel 4 d-1 --force
rollout retry 4 --state cancelled
POLL
device reject d-1 4 --reason no
rollout create --release app:1.1 --target tag==nobody --start => 3
device update f-2 --release app:1.1
rollout create --release app:1.1 --target id==f-2 --after 5 --continuous --urgency soft --forced-at 2036-02-01T00:00Z
rollout stop 5
rollout stop 6
rollout create --release app:1.1 --target id==f-2 --download-only --install-at 2036-03-01T00Z --window 02:00/4h --download any-time
rollout start 7
rollout install 7 --in-window --reason agreed
rollout install 7 --in-window => 3
rollout install 7 --at 2036-02-01T00:00Z
rollout install 7 --withdraw
rollout install 7 --withdraw => 3
rollout install 7 --at 2001-01-01T00:00Z => 2
rollout install 7
rollout stop 7
rollout create --release app:1.0 --target id==f-1 --start
bundle export --rollout 8 --out STICK --devices id==f-* --sign-with DIR/targets-1.pem
bundle list --rollout 8
bundle seal STICK => 3
bundle import MEMBERS => 4
group follow lab --product app --channel beta --dry-run => 3
group follow lab --product app --dry-run --waves 1,all
group follow lab --product app --waves 1,all --validate 1m --approve start --window 02:00/4h
group follows lab --product app --channel stable --stuck
group show lab
group unfollow lab --product app
group unfollow lab --product app => 1
log prove app:1.0 -o PROOF
log show
log entries --subject app:1.0
log entries --log audit --limit 2
log checkpoint
log verify --from HEAD
log check PROOF --from HEAD
log witness --from HEAD --name example.org/w --key-file WITNESS
log erase 0 => 2
log erase 0 --yes
release deprecate app:1.1
release withdraw app:1.1
device decommission d-2 --yes
event list --newest --limit 2
event follow --count 1 --after 0-0 --timeout 60
""".strip().splitlines()


@pytest.fixture
def words(tmp_path: Path) -> dict[str, str]:
    """What stands in the story for what differs each time."""
    files = {name: tmp_path / f"{name.lower()}.swu" for name in ("SMALL", "LARGE", "OTHER")}
    for name, file in files.items():
        file.write_bytes(os.urandom(9 * 1024 * 1024 if name == "LARGE" else 1000))
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(anchor())
    many = tmp_path / "fleet.csv"
    many.write_text("id,hardware\nf-1,default\nf-2,default\n")
    (tmp_path / "members").write_text("id,more\nd-2,x\nnobody,\n")
    (tmp_path / "events").write_text(
        '{"device": "d-1", "id": "1", "kind": "crash", "text": "ui"}\n\n'
        '{"device": "d-1", "id": "2", "kind": "sample", "name": "battery", "value": 81.5}\n'
    )
    (tmp_path / "serials").write_text("sn-1\n# of May\n\nsn-2\n")
    made = {
        name: str(tmp_path / name.lower())
        for name in (
            "GOT",
            "DIR",
            "ALICE",
            "BOB",
            "REQUEST",
            "PROOF",
            "HEAD",
            "WITNESS",
            "SERIALS",
            "EVENTS",
            "MEMBERS",
            "STICK",
        )
    }
    return {name: str(file) for name, file in files.items()} | {"FLEET": str(many), "TRUSTED": str(trusted)} | made


def operations() -> set[tuple[str, str]]:
    nouns = (
        tokens,
        tenants,
        fleet,
        groups,
        following,
        devices,
        errands,
        backups,
        monitoring,
        alerts,
        attributes,
        enrollments,
        credentials,
        authorities,
        blackouts,
        consent,
        artifacts,
        releases,
        keys,
        anchors,
        rollouts,
        bundles,
        events,
        logs,
    )
    routes = [route for noun in nouns for route in noun.router.routes]
    assert all(isinstance(route, APIRoute) for route in routes)
    return {(method, route.path) for route in routes if isinstance(route, APIRoute) for method in route.methods or ()}


def done(noting: Relay) -> set[tuple[str, str]]:
    """The operations that were asked for; where several fit, the one with the fewest blanks."""
    found = set()
    for method, path in noting.requests:
        if path.startswith("/log/"):  # what everybody may read, beside the API
            continue
        fitting = [
            one
            for one in operations()
            if one[0] == method and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", one[1]), path.partition("?")[0])
        ]
        assert fitting, f"{method} {path} is no operation"
        found.add(min(fitting, key=lambda one: one[1].count("{")))
    return found


def told(server: Serving, line: str, words: dict[str, str], address: str) -> None:
    """Run a line of the story, which exits with 0, or with what it says behind `=>`."""
    line, _, code = line.partition(" => ")
    for blank, whole in words.items():
        line = line.replace(blank, whole)
    answer = call(server, *line.split(), "--json", OTARU_SERVER=address, OTARU_PASSPHRASE="horse")
    assert answer.returncode == int(code or 0), f"{line}: {answer.returncode}\n{answer.stdout}{answer.stderr}"
    if code:
        assert answer.stderr.startswith("otaru: ")
        return
    document = json.loads(answer.stdout)
    if line.startswith("token create"):
        words["TOKEN"] = document["id"]
    if line.startswith("device credential add"):
        words["CREDENTIAL"] = document["id"]
    if line.startswith("blackout add"):
        words["BLACKOUT"] = str(document["id"])
    if line.startswith("ca init"):
        words["AUTHORITY"] = document["id"]
    if line.startswith("enrollment create"):
        words["ENROLLMENT"] = document["id"]
    if line.startswith("artifact add"):
        words["DIGEST"] = document["sha256"]


def poll(server: Serving) -> None:
    """The device d-1 asks what is due, and is told."""
    headers = {"Authorization": "TargetToken 0123456789abcdef"}
    answer = httpx.get(f"{server.url}/DEFAULT/controller/v1/d-1", headers=headers)
    assert answer.json()["_links"].keys() & {"deploymentBase", "confirmationBase"}


def back_up(server: Serving) -> None:
    """The device d-1 sends a backup."""
    headers, data = {"Authorization": "TargetToken 0123456789abcdef"}, b"age"
    asked = {"device": "d-1", "name": "000001", "first": "0", "size": "3", "sha256": sha256(data).hexdigest()}
    assert httpx.post(f"{server.url}/device/v1/backups", params=asked, content=data, headers=headers).is_success


ON_THE_DEVICE = {"POLL": poll, "BACKUP": back_up}


def test_every_operation_has_a_command_and_every_command_prints_json(tmp_path: Path, words: dict[str, str]) -> None:
    with serving(tmp_path / "data") as server, relay(server.url) as noting:
        for line in STORY:
            if line in ON_THE_DEVICE:
                ON_THE_DEVICE[line](server)
                continue
            told(server, line, words, noting.url)
            plain = line.startswith(
                ("token list", "tenant show", "device list", "device show", "rollout show", "keys status")
            )
            if plain:
                shown = call(server, *line.split(), OTARU_SERVER=noting.url)
                assert shown.returncode == 0, shown.stderr
                assert shown.stdout.strip()
        assert operations() - done(noting) == ELSEWHERE


def test_the_story_tells_of_every_command_that_talks_to_a_server() -> None:
    told_of = {" ".join(line.split()[:2]) for line in STORY if line not in ON_THE_DEVICE}
    local = {"db upgrade", "db check", "blobs sweep", "keys make", "keys sign", "ca key", "delta diff", "delta apply"}
    local |= {"backup key", "backup open", "config pack", "config show"}
    tree = typer.main.get_command(app)
    every = {
        f"{noun} {verb}"
        for noun, group in tree.commands.items()  # type: ignore[attr-defined]
        for verb in getattr(group, "commands", {})
        if noun != "agent"  # of a device: tests/e2e/test_agent.py
    }
    assert every - local - told_of == set()
    assert told_of <= every
