"""`/metrics` and the console's page of keys: whose numbers they show, and to whom."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from otaru.domain.access import Role
from otaru.domain.ids import DEFAULT_TENANT, TenantId
from tests.support.api import OTHER, Apis, apis, released
from tests.support.ddi import eventually

SAMPLE = re.compile(r'(otaru_\w+)(?:\{((?:\w+="[^"\\\n]*",?)*)\})? (-?[0-9.e+-]+)')
BROWSER = {"Sec-Fetch-Site": "same-origin"}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Samples:
    """Every line of an answer, by name and labels."""
    found: Samples = {}
    for line in text.splitlines():
        if re.fullmatch(r"# (HELP otaru_\w+ [^\n]+|TYPE otaru_\w+ gauge)", line):
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample is not None, line
        labels = frozenset(re.findall(r'(\w+)="([^"]*)"', sample[2] or ""))
        assert (sample[1], labels) not in found
        found[sample[1], labels] = float(sample[3])
    return found


def of(found: Samples, name: str, **labels: str) -> dict[str, float]:
    """The values of a metric, by what labels beside these say."""
    wanted = set(labels.items())
    return {
        " ".join(sorted(value for label, value in own - wanted)): number
        for (one, own), number in found.items()
        if one == name and wanted <= own
    }


def scrape(served: Apis, tenant: TenantId = DEFAULT_TENANT) -> Samples:
    secret = served.secrets[tenant, Role.VIEWER]
    answer = httpx.get(f"{served.server.url}/metrics", headers={"Authorization": f"Bearer {secret}"}, timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return read(answer.text)


@pytest.fixture(scope="module")
def fresh_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apis]:
    with apis(tmp_path_factory.mktemp("metrics") / "data") as served:
        yield served


def test_numbers_of_one_tenant(fresh_one: Apis) -> None:
    before = scrape(fresh_one)
    assert of(before, "otaru_role_days_left") == {}
    assert of(before, "otaru_development_keys") == {"DEFAULT": 0}
    with fresh_one.client() as api:
        name = released(api)
        product = name.partition(":")[0]
        part = api.get(f"/releases/{name.replace(':', '/')}").json()["artifacts"][0]
        body = {"product": product, "version": "9", "publish": False}
        body["artifacts"] = [{"sha256": part["sha256"], "filename": "x", "hardware": ["pi"]}]
        assert api.post("/releases", json=body).status_code == 201
    after = scrape(fresh_one)
    days = of(after, "otaru_role_days_left", tenant="DEFAULT", repository="image", keeper="server")
    assert {role: round(left) for role, left in days.items()} == {
        "root": 365,
        "targets": 365,
        "snapshot": 14,
        "timestamp": 3,
        f"product.{product}.stable": 180,
    }
    directing = of(after, "otaru_role_days_left", tenant="DEFAULT", repository="director", keeper="server")
    assert {role: round(left) for role, left in directing.items()} == {"root": 365}
    assert of(after, "otaru_development_keys") == {"DEFAULT": 6}
    assert of(after, "otaru_release_drafts") == {"DEFAULT": 1}
    assert of(after, "otaru_registry_fresh") == {"": 1}
    eventually(lambda: set(of(scrape(fresh_one), "otaru_log_behind_entries").values()) == {0})
    theirs = scrape(fresh_one, tenant=OTHER)
    assert {value for _, labels in theirs for label, value in labels if label == "tenant"} == {OTHER}
    assert of(theirs, "otaru_development_keys") == {OTHER: 0}


def test_who_may_ask(fresh_one: Apis) -> None:
    url = f"{fresh_one.server.url}/metrics"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"Authorization": "Bearer nonsense"}).status_code == 401
    assert httpx.post(url).status_code == 405
    assert httpx.get(f"{url}/x").status_code in {303, 401, 404}


def test_the_owner_of_the_folder_sees_every_tenant(fresh_one: Apis) -> None:
    transport = httpx.HTTPTransport(uds=str(Path(fresh_one.server.data) / "admin.sock"))
    with httpx.Client(transport=transport, base_url="http://local") as local:
        found = read(local.get("/metrics").text)
    assert {"DEFAULT", OTHER} <= set(of(found, "otaru_release_drafts"))
    assert of(found, "otaru_tenants_left_out") == {"": 0}


def test_the_page_of_keys(fresh_one: Apis) -> None:
    """Roles with their ends, for those of the tenant alone; nothing to press."""
    with fresh_one.client() as api:
        released(api)
    pages: dict[TenantId, str] = {}
    for tenant in (DEFAULT_TENANT, OTHER):
        secret = fresh_one.secrets[tenant, Role.VIEWER]
        with httpx.Client(base_url=fresh_one.server.url, headers=BROWSER) as browser:
            assert browser.post("/login", data={"token": secret}).status_code == 303
            answer = browser.get("/keys")
            assert answer.status_code == 200
            pages[tenant] = answer.text
    ours, theirs = pages[DEFAULT_TENANT], pages[OTHER]
    assert "Development keys sign the releases." in ours
    found = re.findall(r'class="role-name">([\w.-]+)<', ours)
    assert found[:2] == ["timestamp", "snapshot"]
    assert found.count("root") == found.count("targets") == 2  # the image repository's, and the director's
    assert "what each device is to run" in ours
    assert "director:root" in ours
    assert "nothing yet" not in ours
    assert "otaru keys init" in theirs
    assert "role-name" not in theirs
    assert httpx.get(f"{fresh_one.server.url}/keys").status_code == 303
