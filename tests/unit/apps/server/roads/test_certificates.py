"""Client certificates: which are good, whom they speak for, where they are looked for, what is remembered."""

import contextlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.server.http import PEER
from otaru.apps.server.roads import certificates
from otaru.apps.server.roads.authorities import Authorities
from otaru.apps.server.roads.certificates import MAX_DER, MAX_HEADER, Certificate, Certificates, decoded
from otaru.errors import InvalidInputError, UnauthenticatedError
from tests.support.certificates import BIRTH, CLIENT, DAY, SERVER, Authority, Issued, authority, bundle

NOW = BIRTH + 10 * DAY
ROOT = authority("Devices")
GOOD = ROOT.device("dev-1", "DEFAULT")
PROXY = "10.0.0.7"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    return Authorities(bundle(tmp_path_factory.mktemp("ca"), ROOT))


class Counted:
    """How often a chain was built."""

    def __init__(self, authorities: Authorities) -> None:
        self.authorities = authorities
        self.count = 0

    def __call__(self, der: bytes, now: datetime) -> Certificate:
        self.count += 1
        return self.authorities.verify(der, now)


@pytest.fixture
def counted(known: Authorities) -> Counted:
    return Counted(known)


@pytest.fixture
def found(counted: Counted) -> Certificates:
    return Certificates(counted, "Client-Cert", ("10.0.0.0/24",))


def scope(*values: str, peer: str = PROXY, tls: bytes | None = None) -> dict[str, Any]:
    extensions: dict[str, Any] = {PEER: {"address": peer}}
    if tls is not None:
        extensions["tls"] = {"client_cert": tls}
    return {"headers": [(b"client-cert", value.encode()) for value in values], "extensions": extensions}


@pytest.mark.parametrize(("tenant", "meant"), [("DEFAULT", "DEFAULT"), ("acme", "acme"), (None, "DEFAULT")])
def test_the_subject_says_whose_it_is(known: Authorities, tenant: str | None, meant: str) -> None:
    certificate = known.verify(ROOT.device("dev-1", tenant).der, NOW)
    assert certificate == Certificate(meant, "dev-1", BIRTH, BIRTH + 90 * DAY)


def test_a_certificate_without_usages_is_for_all_of_them(known: Authorities) -> None:
    assert known.verify(ROOT.device("dev-1", usages=None).der, NOW).device == "dev-1"
    assert known.verify(ROOT.device("dev-1", usages=(SERVER, CLIENT)).der, NOW).device == "dev-1"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (authority("Devices").device("dev-1"), "no authority"),
        (ROOT.device("dev-1", begins=BIRTH - 90 * DAY, days=91), "expired"),
        (ROOT.device("dev-1", begins=NOW + DAY), "not come yet"),
        (ROOT.device("dev-1", usages=(SERVER,)), "for a client"),
        (ROOT.device(None, "DEFAULT"), "no CN"),
        (ROOT.device("dev-1", more=[(NameOID.COMMON_NAME, "dev-2")]), "twice"),
        (ROOT.device("dev-1", "DEFAULT", more=[(NameOID.ORGANIZATION_NAME, "acme")]), "twice"),
        (Authority(GOOD.certificate, GOOD.key).device("dev-2"), "no authority"),
        (ROOT.authority("Plant 1").device("dev-1"), "no authority"),
    ],
    ids=[
        "stranger",
        "expired",
        "early",
        "server",
        "nameless",
        "two names",
        "two tenants",
        "signed by a device",
        "deep",
    ],
)
def test_bad_ones(known: Authorities, bad: Issued, why: str) -> None:
    with pytest.raises(UnauthenticatedError, match=why) as refused:
        known.verify(bad.der, NOW)
    assert "dev-" not in refused.value.message


def test_each_certificate_of_the_bundle_is_an_authority(tmp_path: Path) -> None:
    plant = ROOT.authority("Plant 1", days=60)
    by_plant = plant.device("dev-1")
    assert Authorities(bundle(tmp_path, plant)).verify(by_plant.der, NOW).not_after == BIRTH + 60 * DAY
    with pytest.raises(UnauthenticatedError):
        Authorities(bundle(tmp_path, plant)).verify(by_plant.der, BIRTH + 61 * DAY)
    with pytest.raises(UnauthenticatedError):
        Authorities(bundle(tmp_path, plant)).verify(GOOD.der, NOW)


def usage(*, signs: bool) -> x509.KeyUsage:
    words = ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"]
    no = dict.fromkeys([*words, "encipher_only", "decipher_only"], False)
    return x509.KeyUsage(digital_signature=True, key_cert_sign=signs, **no)


@pytest.mark.parametrize(
    ("extensions", "signs"),
    [
        ((), False),
        ((x509.BasicConstraints(ca=False, path_length=None),), False),
        ((x509.BasicConstraints(ca=True, path_length=None), usage(signs=False)), False),
        ((x509.BasicConstraints(ca=True, path_length=None), usage(signs=True)), True),
    ],
    ids=["a device", "says so", "may not sign", "authority"],
)
def test_only_authorities_of_the_bundle_sign(
    tmp_path: Path, extensions: tuple[x509.ExtensionType, ...], signs: bool
) -> None:
    signer = ROOT.device("signer", usages=None, also=extensions)
    signed = Authority(signer.certificate, signer.key).device("dev-2")
    with contextlib.nullcontext() if signs else pytest.raises(UnauthenticatedError, match="no authority"):
        assert Authorities(bundle(tmp_path, signer)).verify(signed.der, NOW).device == "dev-2"


URN = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:ota:DEFAULT:dev-1")])


def test_what_nobody_here_has_signed_says_nothing_by_itself(known: Authorities) -> None:
    stranger = authority("Our devices").device("dev-1", "DEFAULT")
    for nobody in (known, Authorities(None)):
        read = nobody.read(stranger.der, NOW)
        assert (read.tenant, read.device, read.issuer) == ("", "", b"")
        assert read.key
    assert known.read(GOOD.der, NOW) == known.verify(GOOD.der, NOW)
    for bad, at in (
        (authority("x").device("dev-1", days=1), NOW + 2 * DAY),
        (authority("x").device("dev-1", usages=(SERVER,)), NOW),
    ):
        with pytest.raises(UnauthenticatedError):
            known.read(bad.der, at)


def test_a_tenants_authority_among_these_speaks_for_nobody(known: Authorities) -> None:
    """Its devices' certificates have no tenant in their subjects: they would be those of `DEFAULT`."""
    read = known.read(ROOT.device("dev-1", also=(URN,)).der, NOW)
    assert (read.tenant, read.device) == ("", "")
    assert read.says == ("DEFAULT", "dev-1")


@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_bundle_of_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ca.pem"
    with pytest.raises(InvalidInputError, match="client_ca"):
        Authorities(file)
    file.write_bytes(content)
    with pytest.raises(InvalidInputError, match="client_ca"):
        Authorities(file)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # one that a changed byte has made negative
@given(st.integers(0, len(GOOD.der) - 1), st.integers(1, 255))
def test_no_byte_of_it_may_change(known: Authorities, at: int, by: int) -> None:
    changed = bytearray(GOOD.der)
    changed[at] ^= by
    with pytest.raises(UnauthenticatedError):
        known.verify(bytes(changed), NOW)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_certificate(known: Authorities, junk: bytes) -> None:
    with pytest.raises(UnauthenticatedError):
        known.verify(junk, NOW)


@pytest.mark.parametrize("value", [GOOD.rfc9440, GOOD.escaped])
def test_both_forms_of_the_header(value: str) -> None:
    assert decoded(value.encode()) == GOOD.der


@pytest.mark.parametrize(
    "value", ["dev-1", GOOD.rfc9440[1:], GOOD.rfc9440[:-1], ":a:", ":ä:", GOOD.escaped[:-30], GOOD.pem.decode()]
)
def test_other_forms_of_the_header(value: str) -> None:
    with pytest.raises(UnauthenticatedError):
        decoded(value.encode())


@given(
    st.one_of(
        st.binary(),
        st.binary().map(lambda b: b":" + b + b":"),
        st.binary().map(lambda b: b"-----BEGIN%20CERTIFICATE-----" + b),
    )
)
def test_any_header_is_read_or_refused(value: bytes) -> None:
    with contextlib.suppress(UnauthenticatedError):
        assert isinstance(decoded(value), bytes)


def test_a_proxy_hands_on_what_it_was_shown(found: Certificates) -> None:
    for value in (GOOD.rfc9440, GOOD.escaped):
        certificate = found.shown(scope(value), NOW)
        assert certificate is not None
        assert certificate.device == "dev-1"


@pytest.mark.parametrize("peer", ["10.0.1.7", "127.0.0.1", "::1", "", "unix:"])
@pytest.mark.parametrize("value", [GOOD.rfc9440, "junk"])
def test_from_others_the_header_is_not_there(found: Certificates, counted: Counted, peer: str, value: str) -> None:
    assert found.shown(scope(value, peer=peer), NOW) is None
    assert counted.count == 0


def test_without_the_setting_no_header_is_read(counted: Counted) -> None:
    assert Certificates(counted, "", ("10.0.0.0/24",)).shown(scope(GOOD.rfc9440), NOW) is None


@pytest.mark.parametrize("values", [(), ("",), ("::",)])
def test_a_proxy_says_there_was_none(found: Certificates, values: tuple[str, ...]) -> None:
    assert found.shown(scope(*values), NOW) is None


def test_two_headers_are_none(found: Certificates) -> None:
    with pytest.raises(UnauthenticatedError, match="more than one"):
        found.shown(scope(GOOD.rfc9440, GOOD.rfc9440), NOW)


def test_the_connections_own_counts_before_a_header(found: Certificates) -> None:
    certificate = found.shown(scope(GOOD.rfc9440, tls=ROOT.device("dev-2").der), NOW)
    assert certificate is not None
    assert certificate.device == "dev-2"


@pytest.mark.parametrize("value", [":" + "A" * MAX_HEADER + ":", ":" + "A" * (2 * MAX_DER) + ":"])
def test_too_large(found: Certificates, value: str) -> None:
    with pytest.raises(UnauthenticatedError, match="too large"):
        found.shown(scope(value), NOW)


def test_a_chain_is_built_once(found: Certificates, counted: Counted) -> None:
    for _ in range(3):
        assert found.shown(scope(tls=GOOD.der), NOW) is not None
    assert counted.count == 1


def test_one_that_expires_is_not_remembered(found: Certificates) -> None:
    assert found.shown(scope(tls=GOOD.der), BIRTH + 90 * DAY) is not None
    for _ in range(2):
        with pytest.raises(UnauthenticatedError, match="expired"):
            found.shown(scope(tls=GOOD.der), BIRTH + 90 * DAY + timedelta(seconds=1))
    assert found.shown(scope(tls=GOOD.der), NOW) is not None


def test_a_bad_one_is_not_remembered(found: Certificates) -> None:
    stranger = authority("Devices").device("dev-1")
    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            found.shown(scope(tls=stranger.der), NOW)


def test_the_oldest_is_forgotten(found: Certificates, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "MAX_KNOWN", 2)
    one, two, three = (ROOT.device(f"dev-{n}").der for n in (1, 2, 3))
    for der in (one, two, one, three, one):
        found.shown(scope(tls=der), NOW)
    assert counted.count == 3
    found.shown(scope(tls=two), NOW)
    assert counted.count == 4
