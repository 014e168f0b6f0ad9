"""hawkBit's DDI cases in our words, over real HTTP: the files of an action."""

import hashlib
from collections.abc import Callable

import pytest

from tests.support.ddi import DdiDevice, Operator, eventually

PAYLOAD = bytes(range(256)) * 20


@pytest.fixture
def offered(operator: Operator) -> tuple[DdiDevice, str]:
    """A device with an open action, and the path of its files."""
    device, action, _ = operator.offered(operator.release(PAYLOAD, filename="file1.swu"))
    return device, f"softwaremodules/{action}/artifacts"


def test_list(offered: tuple[DdiDevice, str]) -> None:
    device, folder = offered
    (file,) = device.get(folder).json()
    assert (file["filename"], file["size"]) == ("file1.swu", len(PAYLOAD))
    assert device.get(file["_links"]["download"]["href"]).content == PAYLOAD


def test_download(offered: tuple[DdiDevice, str]) -> None:
    device, folder = offered
    answer = device.get(f"{folder}/file1.swu")
    assert (answer.status_code, answer.content) == (200, PAYLOAD)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == str(len(PAYLOAD))
    head = device.request("HEAD", f"{folder}/file1.swu")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(PAYLOAD))


def test_md5sum(offered: tuple[DdiDevice, str]) -> None:
    device, folder = offered
    answer = device.get(f"{folder}/file1.swu.MD5SUM")
    assert (answer.status_code, answer.text) == (200, f"{hashlib.md5(PAYLOAD).hexdigest()}  file1.swu")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "file1.swu.MD5SUM" in answer.headers["content-disposition"]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("0-99", 0, 99), ("-1000", 4120, 5119), ("1000-", 1000, 5119), ("5000-9999", 5000, 5119)],
)
def test_ranges(offered: tuple[DdiDevice, str], asked: str, first: int, last: int) -> None:
    device, folder = offered
    answer = device.get(f"{folder}/file1.swu", headers={"Range": f"bytes={asked}"})
    assert answer.status_code == 206
    assert answer.content == PAYLOAD[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(PAYLOAD)}"


def test_in_fifty_parts(offered: tuple[DdiDevice, str]) -> None:
    device, folder = offered
    parts = [
        device.get(f"{folder}/file1.swu", headers={"Range": f"bytes={start}-{start + 102}"}).content
        for start in range(0, len(PAYLOAD), 103)
    ]
    assert b"".join(parts) == PAYLOAD


def test_a_range_behind_the_end(offered: tuple[DdiDevice, str]) -> None:
    device, folder = offered
    answer = device.get(f"{folder}/file1.swu", headers={"Range": f"bytes={len(PAYLOAD)}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(PAYLOAD)}"


@pytest.mark.parametrize("name", ["123455", "file1", "file1.swu.SHA1SUM", "file2.swu.MD5SUM", "%2e%2e%2ffile1.swu"])
def test_no_such_file(offered: tuple[DdiDevice, str], name: str) -> None:
    device, folder = offered
    assert device.get(f"{folder}/{name}").status_code == 404


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
@pytest.mark.parametrize("name", ["file1.swu", "file1.swu.MD5SUM"])
def test_other_methods(offered: tuple[DdiDevice, str], method: str, name: str) -> None:
    device, folder = offered
    assert device.request(method, f"{folder}/{name}").status_code == 405


def test_names_with_odd_characters(operator: Operator) -> None:
    name = "fïrm wäre #1 100%?.swu"
    device, action, _ = operator.offered(operator.release(b"odd", filename=name))
    file = device.get(f"deploymentBase/{action}").json()["deployment"]["chunks"][0]["artifacts"][0]
    assert file["filename"] == name
    assert device.get(file["_links"]["download"]["href"]).content == b"odd"
    assert device.get(file["_links"]["md5sum"]["href"]).text.endswith(f"  {name}")


def test_only_for_whom_it_is_meant(operator: Operator, device: DdiDevice) -> None:
    release = operator.release(b"secret")
    assert device.get("softwaremodules/1/artifacts/app.swu").status_code == 404
    assert device.get("softwaremodules/1/artifacts").status_code == 404
    operator.rollout(device, release)
    # Not before it has been offered.
    assert device.get("softwaremodules/1/artifacts/app.swu").status_code == 404
    assert device.action() == "1"
    assert device.get("softwaremodules/1/artifacts/app.swu").content == b"secret"
    other = operator.device()
    assert other.get("softwaremodules/1/artifacts/app.swu").status_code == 404
    assert other.get(f"{device.base}/softwaremodules/1/artifacts/app.swu").status_code == 401


def test_after_the_end(operator: Operator) -> None:
    device, action, _ = operator.offered()
    path = f"softwaremodules/{action}/artifacts/app.swu"
    device.say(action, "closed", "success")
    assert device.get(path).content == b"firmware"
    operator.rollout(device)
    failed = device.action()
    device.say(failed, "closed", "failure")
    assert device.get(f"softwaremodules/{failed}/artifacts/app.swu").status_code == 404
    assert device.get(path).status_code == 200


def test_without_a_credential_only_where_the_tenant_allows_it(
    operator: Operator, settings: Callable[..., None]
) -> None:
    device, action, _ = operator.offered()
    path = f"{device.base}/softwaremodules/{action}/artifacts/app.swu"
    assert operator.devices.get(path).status_code == 401
    contact = eventually(lambda: operator.seen(device)["last_contact"])
    settings(download_anonymous=True)
    assert operator.devices.get(path).content == b"firmware"
    assert operator.devices.get(path, headers={"Authorization": "TargetToken wrong"}).status_code == 401
    assert operator.devices.get(device.base).status_code == 401
    # Whoever that was, nothing was heard of the device itself. Contacts are written in their order.
    later = operator.device()
    later.get()
    eventually(lambda: operator.seen(later)["last_contact"])
    assert operator.seen(device)["last_contact"] == contact
