"""The console's pages of products and releases."""

import re
from typing import Any

import httpx
import pytest

from otaru.domain.access import Role
from otaru.domain.ids import DEFAULT_TENANT
from tests.support.api import MATRIX, OTHER, Apis, added, fresh, planned, problem, released, uploaded

HOSTILE = "<script>alert(1)</script>\n<b>second</b> line"


def a_draft(api: httpx.Client, product: str, version: str, **more: Any) -> None:
    sha256 = uploaded(api, f"{product} {version}".encode())
    artifacts = [{"sha256": sha256, "filename": "a&b.swu", "hardware": ["rpi4", "rpi5:b"]}]
    body = {"product": product, "version": version, "artifacts": artifacts, "publish": False, **more}
    assert api.post("/releases", json=body).status_code == 201


def test_releases_of_a_product_are_listed_newest_first_and_in_pages(served: Apis, api: httpx.Client) -> None:
    product, other = fresh("line"), fresh("line")
    a_draft(api, other, "7.7.7")
    for number in range(53):
        a_draft(api, product, f"1.{number}")
    with served.visitor() as visitor:
        page = visitor.get("/releases", params={"product": product})
        seen = re.findall(rf'href="/releases/{product}/([^"]+)"', page.text)
        assert seen == [f"1.{n}" for n in range(52, 2, -1)]
        assert "7.7.7" not in page.text
        following = re.search(r'href="([^"]+)" rel="next"', page.text)
        assert following is not None
        rest = visitor.get(following[1].replace("&amp;", "&"))
        assert re.findall(rf'href="/releases/{product}/([^"]+)"', rest.text) == ["1.2", "1.1", "1.0"]
        assert 'rel="next"' not in rest.text
        everything = visitor.get("/releases").text
        assert f'href="/releases?product={product}"' in everything
        for wrong in ("/releases?after=nonsense", "/releases?product=%3Cb%3E", "/releases?products=-"):
            answer = visitor.get(wrong)
            assert answer.status_code == 400
            assert "<b>" not in answer.text


def test_products_are_read_in_pages(served: Apis) -> None:
    with served.client(tenant=MATRIX) as matrix, served.visitor(tenant=MATRIX) as visitor:
        names = [fresh("pages") for _ in range(21)]
        for name in names:
            a_draft(matrix, name, "1")
        address, seen = "/releases", []
        while address:
            page = visitor.get(address).text
            table = page[page.index('id="products"') : page.index('aria-label="Releases"')]
            seen += re.findall(r'<a class="strong" href="/releases\?product=([^"]+)"', table)
            following = re.search(r'href="([^"]+)" rel="next"', table)
            address = following[1] if following else ""
        assert len(seen) == len(set(seen)) >= 21
        assert set(names) <= set(seen)


def test_an_empty_page_says_how_to_fill_it(served: Apis) -> None:
    with served.visitor() as visitor:
        page = visitor.get("/releases", params={"product": "nobody-makes-it"}).text
        assert "otaru release add app-1.0.0.swu --name nobody-makes-it" in page
        assert 'href="/releases/+new?product=nobody-makes-it"' in page
    with served.visitor(Role.VIEWER) as visitor:
        page = visitor.get("/releases", params={"product": "nobody-makes-it"}).text
        assert "No release of nobody-makes-it" in page
        assert "+new" not in page


def test_a_release_shows_what_is_known_of_it(served: Apis, api: httpx.Client) -> None:
    product, version = fresh("shown"), "1.0~rc:1+b"
    a_draft(api, product, version, notes=HOSTILE)
    sha256 = api.get(f"/releases/{product}/{version}").json()["artifacts"][0]["sha256"]
    with served.visitor() as visitor:
        listed = visitor.get("/releases", params={"product": product}).text
        here = f"/releases/{product}/1.0~rc%3A1%2Bb"
        assert f'href="{here}"' in listed
        page = visitor.get(here)
        assert page.status_code == 200
        for words in ("draft", "a&amp;b.swu", "rpi4", "rpi5:b", f'data-copies="{sha256}"', "not yet", "1 file<"):
            assert words in page.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\n&lt;b&gt;second" in page.text
        assert "<b>second" not in page.text
        download = re.search(r'href="(/api/v1/artifacts/[^"]+)"', page.text)
        assert download is not None
        assert visitor.get(download[1]).content == f"{product} {version}".encode()
        for nothing in (f"/releases/{product}/2", f"/releases/{fresh('none')}/1"):
            assert visitor.get(nothing).status_code == 404
        assert visitor.get(f"/releases/{product}/%3Cb%3E").status_code == 400


def test_a_release_goes_its_way_by_buttons(served: Apis, api: httpx.Client) -> None:
    product = fresh("moved")
    a_draft(api, product, "1")
    here = f"/releases/{product}/1"
    with served.visitor(Role.PUBLISHER) as visitor:
        for order, state, left in (
            ("publish", "published", {"deprecate", "withdraw"}),
            ("deprecate", "deprecated", {"withdraw"}),
            ("withdraw", "withdrawn", set()),
        ):
            assert f'action="{here}/{order}"' in visitor.get(here).text
            answer = visitor.post(f"{here}/{order}")
            assert (answer.status_code, answer.headers["location"]) == (303, here)
            assert api.get(here).json()["state"] == state
            assert set(re.findall(rf'action="{here}/(\w+)"', visitor.get(here).text)) == left
        late = visitor.post(f"{here}/deprecate")
        assert late.status_code == 409
        assert "is withdrawn: it cannot deprecate" in late.text
        assert "Somebody was faster" in late.text
        for nothing in ("sign", "nonsense"):
            assert visitor.post(f"{here}/{nothing}").status_code == 404
        assert "/rollouts/new" not in visitor.get(here).text, "a publisher rolls nothing out"
    published = released(api)
    with served.visitor(Role.OPERATOR) as visitor:
        page = visitor.get(f"/releases/{published.replace(':', '/')}").text
        assert f'href="/rollouts/new?release={published.replace(":", "%3A")}"' in page
        assert "withdraw" not in page
    with served.visitor() as visitor:
        forged = visitor.post(f"{here}/withdraw", headers={"Sec-Fetch-Site": "cross-site"})
        assert forged.status_code == 403


def test_withdrawing_says_what_it_stops(served: Apis, api: httpx.Client) -> None:
    rollout = planned(api, 2, start=True)
    here = f"/releases/{rollout['product']}/{rollout['version']}"
    model = rollout["target"].removeprefix("hardware==")
    with served.visitor() as visitor:
        page = visitor.get(here).text
        assert f'href="/rollouts/{rollout["id"]}"' in page
        assert "0 of 2" in page
        assert "1 rollout of it will stop." in page
        assert "No device is in the middle of the update." in page
        token = api.post("/devices", json={"id": (late := fresh("dev")), "hardware": model}).json()["token"]
        release = f"{rollout['product']}:{rollout['version']}"
        second = api.post("/rollouts", json={"release": release, "target": f"id=={late}", "start": True}).json()
        assert "deploymentBase" in served.device(late, token).links()
        page = visitor.get(here).text
        assert "2 rollouts of it will stop." in page
        assert "1 device is in the middle of the update and will be asked to cancel." in page
        assert visitor.post(f"{here}/withdraw").status_code == 303
        assert {api.get(f"/rollouts/{r['id']}").json()["state"] for r in (rollout, second)} <= {"stopping", "stopped"}
        assert "will stop" not in visitor.get(here).text


def test_who_may_not_publish_sees_no_button_and_is_refused(served: Apis, api: httpx.Client) -> None:
    here = f"/releases/{released(api).replace(':', '/')}"
    for role in (Role.VIEWER, Role.OPERATOR):
        with served.visitor(role) as visitor:
            for address in ("/releases", here):
                page = visitor.get(address)
                assert page.status_code == 200
                assert "+new" not in page.text
                assert f'action="{here}' not in page.text
            assert visitor.get("/releases/+new").status_code == 403
            assert visitor.post(f"{here}/withdraw").status_code == 403
    assert api.get(here).json()["state"] == "published"


def test_tenants_see_their_own_releases_only(served: Apis, api: httpx.Client) -> None:
    product = fresh("mine")
    a_draft(api, product, "1")
    with served.visitor(tenant=OTHER) as visitor:
        assert product not in visitor.get("/releases").text
        assert product not in visitor.get("/releases/+new").text
        assert visitor.get(f"/releases/{product}/1").status_code == 404
        assert visitor.post(f"/releases/{product}/1/withdraw").status_code == 404


def test_the_upload_page_suggests_what_is_there(served: Apis, api: httpx.Client) -> None:
    product = fresh("known")
    a_draft(api, product, "1")
    with served.visitor(Role.PUBLISHER) as visitor:
        page = visitor.get("/releases/+new", params={"product": product}).text
        assert f'name="product" value="{product}"' in page
        assert f'<option value="{product}">' in page
        assert '<option value="rpi5:b">' in page
        assert f'data-tenant="{DEFAULT_TENANT}"' in page
        assert "otaru release add" in page[page.index("<noscript>") : page.index("</noscript>")]
        assert 'value="&lt;' not in visitor.get("/releases/+new", params={"product": '"><b>'}).text


def test_a_browser_uploads_in_parts_with_its_session(served: Apis) -> None:
    with served.visitor(Role.PUBLISHER) as visitor:
        begun = visitor.post("/api/v1/uploads", json={"filename": "a.swu", "size": 6}).json()
        there = f"/api/v1/uploads/{begun['id']}"
        raw = {"Content-Type": "application/octet-stream"}
        assert visitor.patch(there, content=b"abc", headers={**raw, "Upload-Offset": "0"}).json()["offset"] == 3
        problem(visitor.patch(there, content=b"x", headers={**raw, "Upload-Offset": "0"}), 409, "invalid_state")
        assert visitor.patch(there, content=b"def", headers={**raw, "Upload-Offset": "3"}).json()["offset"] == 6
        key = {"Idempotency-Key": fresh("finish")}
        ended = [visitor.post(f"{there}/finish", json={}, headers=key) for _ in range(2)]
        assert [answer.status_code for answer in ended] == [201, 201]
        assert ended[0].json() == ended[1].json()
        product = fresh("browser")
        artifacts = [{"sha256": ended[0].json()["sha256"], "filename": "a.swu", "hardware": ["rpi4"]}]
        body = {"product": product, "version": "1", "artifacts": artifacts, "notes": "", "publish": True}
        key = {"Idempotency-Key": fresh("release")}
        assert [visitor.post("/api/v1/releases", json=body, headers=key).status_code for _ in range(2)] == [201, 201]
        cancelled = visitor.post("/api/v1/uploads", json={"filename": "b.swu"}).json()["id"]
        assert visitor.delete(f"/api/v1/uploads/{cancelled}").status_code == 204
        assert visitor.get(f"/releases/{product}/1").status_code == 200


@pytest.mark.parametrize("address", ["/releases", "/releases/+new"])
def test_every_script_of_a_page_and_what_it_imports_is_found(served: Apis, address: str) -> None:
    with served.visitor() as visitor:
        waiting = re.findall(r'(?:src|href)="(/static/[^"#]+\.(?:js|css))"', visitor.get(address).text)
        seen: set[str] = set()
        while waiting:
            link = waiting.pop()
            if link not in seen:
                seen.add(link)
                answer = visitor.get(link)
                assert answer.status_code == 200, link
                folder = link.rpartition("/")[0]
                waiting += [f"{folder}/{name}" for name in re.findall(r'from "\./([^"]+)"', answer.text)]
        assert address == "/releases" or any(link.endswith("/transfer.js") for link in seen)


def test_the_terms_of_a_release_are_shown_and_asked(served: Apis, api: httpx.Client) -> None:
    product = fresh("terms")
    requires = ["bootloader>=2.1", "fpga<9"]
    terms: dict[str, Any] = {"type": "security", "channel": "beta", "requires": requires, "floor": "1.0"}
    a_draft(api, product, "1.1", **terms, security_floor=3, support_until="2020-02-29")
    a_draft(api, product, "1.2")
    with served.visitor() as visitor:
        page = visitor.get(f"/releases/{product}/1.1").text
        for words in ("bootloader&gt;=2.1", "fpga&lt;9", "burns counter 3", "until 2020-02-29", "beta", "security"):
            assert words in page
        assert f"The support of {product} 1.1 ended on 2020-02-29." in page
        plain = visitor.get(f"/releases/{product}/1.2").text
        assert "inherited" in plain
        for words in ("Requires", "Floor", "Support", "The support of", "is deprecated"):
            assert words not in plain
        form = visitor.get("/releases/+new").text
        for name in ("type", "channel", "requires", "floor", "security_floor", "support_until"):
            assert f'name="{name}"' in form


def test_who_still_runs_a_withdrawn_release_is_a_link_away(served: Apis, api: httpx.Client) -> None:
    release = released(api)
    product, version = release.split(":")
    device = added(api, installed={product: version})
    with served.visitor() as visitor:
        here = f"/releases/{product}/{version}"
        assert "still run" not in visitor.get(here).text
        visitor.post(f"{here}/withdraw")
        page = visitor.get(here).text
        assert "1 device still runs it" in page
        link = re.search(r'<a href="([^"]+)">1 device still runs it', page)
        assert link is not None
        assert device in visitor.get(link[1].replace("&amp;", "&")).text


def test_a_new_rollout_warns_of_its_release(served: Apis, api: httpx.Client) -> None:
    release = released(api, support_until="2020-02-29")
    with served.visitor() as visitor:
        page = visitor.get("/rollouts/new", params={"release": release, "target": "id==*"}).text
        assert f"The support of {release.replace(':', ' ')} ended on 2020-02-29." in page
