"""What an image says, held against what was typed."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.device import Hardware
from otaru.domain.ids import ProductName, Sha256, Version
from otaru.domain.release import Artifact, Blob, Release, ReleaseState
from otaru.domain.versions import VersionOrder
from otaru.errors import ImageFormError, ImageSignatureError
from otaru.images.admission import Aspect, installer, mismatches, refusal
from otaru.images.facts import MOST, Facts, Format, Payload, Signature, Verdict, bounded

DIGEST = Sha256("a" * 64)
BOARD = Hardware("rpi4")


def a_file(hardware: Hardware = BOARD) -> Artifact:
    return Artifact("app", hardware, "app.bin", Blob(DIGEST, "b" * 40, "c" * 32, 9))


def a_release(version: str, order: VersionOrder = VersionOrder.AUTO, *hardware: Hardware) -> Release:
    files = tuple(a_file(one) for one in hardware or (BOARD,))
    at = datetime(2026, 11, 21, tzinfo=UTC)
    return Release(ProductName("app"), Version(version), ReleaseState.DRAFT, files, at, order=order)


def signed(verdict: Verdict, form: Format = Format.SWU, *, production: bool = True) -> Facts:
    signatures = () if verdict is Verdict.NONE else (Signature("CMS", verdict, "all", reason="why"),)
    return Facts(form, format_version="plain", signatures=signatures, production=production)


@pytest.mark.parametrize(
    ("form", "typed", "found", "same"),
    [
        (Format.SWU, "1.1.0", "1.1.0", True),
        (Format.SWU, "1.1.0", "v1.1.0", True),
        (Format.SWU, "v1.1.0", "1.1.0", True),
        (Format.SWU, "1.2.0", "1.2", True),
        (Format.SWU, "1.1.0", "1.1.1", False),
        (Format.SWU, "1.1.0", "1.1.0-rc.1", False),
        (Format.SWU, "1.1.0", "very new", False),
        (Format.SWU, "1.1.0", None, True),
        (Format.RAUC, "2026.11-1", "2026.11-1", True),
        (Format.RAUC, "2026.11-1", "2026.11-2", False),
        (Format.MCUBOOT, "1.2.3", "1.2.3+4", True),
        (Format.MCUBOOT, "1.2.4", "1.2.3+4", False),
        (Format.MCUBOOT, "7", "0.0.0", True),
        (Format.ESP_IDF, "2.0.0", "1", True),
        (Format.ESP_IDF, "2.0.0", "v2.0.0", True),
        (Format.ESP_IDF, "2.0.0", "v2.0.0-4-gabc1234", False),
        (Format.MENDER, "2.0.0", "release-1", True),
        (Format.OCI, "2.0.0", "latest", True),
        (Format.SUIT, "2.0.0", "1.1.0", True),
    ],
)
def test_versions(form: Format, typed: str, found: str | None, same: bool) -> None:
    told = mismatches(a_release(typed), {DIGEST: Facts(form, version=found)}, {})
    assert bool(told) != same
    for mismatch in told:
        assert mismatch.aspect is Aspect.VERSION
        assert typed in mismatch.sentence
        assert str(found) in mismatch.sentence


def test_versions_are_read_in_the_products_order() -> None:
    image = {DIGEST: Facts(Format.SWU, version="26.4")}
    assert not mismatches(a_release("2026.4", VersionOrder.CALENDAR), image, {})
    assert mismatches(a_release("2026.4"), image, {})


@given(st.sampled_from(Format), st.text(max_size=512), st.sampled_from(VersionOrder))
def test_whatever_an_image_says_there_is_an_answer(form: Format, found: str, order: VersionOrder) -> None:
    mismatches(a_release("1.2.3", order), {DIGEST: Facts(form, version=found, hardware=(found,))}, {})


def test_one_file_for_several_models_is_told_of_once() -> None:
    release = a_release("1.1.0", VersionOrder.AUTO, BOARD, Hardware("rpi5"))
    assert len(mismatches(release, {DIGEST: Facts(Format.SWU, version="2")}, {})) == 1


@pytest.mark.parametrize(
    ("names", "known", "fits"),
    [
        (("acme-v2",), (), True),
        ((), ("acme-v2",), True),
        (("acme-v2",), ("acme-v2",), True),
        (("ACME-V2", "acme-v3"), ("acme-v1", "acme-v2"), True),
        (("rpi4",), ("acme-v2",), True),
        (("acme-v3",), ("acme-v2",), False),
    ],
)
def test_hardware_is_held_against_what_earlier_images_said(
    names: tuple[str, ...], known: tuple[str, ...], fits: bool
) -> None:
    earlier = {(BOARD, Format.RAUC): frozenset(known)}
    told = mismatches(a_release("1"), {DIGEST: Facts(Format.RAUC, hardware=names)}, earlier)
    assert bool(told) != fits
    for mismatch in told:
        assert mismatch.aspect is Aspect.HARDWARE
        for value in (*names, *known, "rpi4"):
            assert value in mismatch.sentence
    other_format = {DIGEST: Facts(Format.SWU, hardware=names)}
    assert not mismatches(a_release("1"), other_format, earlier)


@pytest.mark.parametrize("production", [True, False])
@pytest.mark.parametrize("anchored", [True, False])
@pytest.mark.parametrize("verdict", Verdict)
def test_signatures(verdict: Verdict, anchored: bool, production: bool) -> None:
    told = refusal(a_file(), signed(verdict), anchored=anchored, production=production)
    refused = verdict is Verdict.BROKEN or (production and anchored and verdict in {Verdict.UNKNOWN, Verdict.NONE})
    assert isinstance(told, ImageSignatureError) == refused
    assert (told is None) != refused


def test_what_its_own_authors_advise_against_is_refused_in_production() -> None:
    plain = signed(Verdict.VALID, Format.RAUC, production=False)
    assert refusal(a_file(), plain, anchored=True, production=False) is None
    assert isinstance(refusal(a_file(), plain, anchored=True, production=True), ImageFormError)


def test_the_format_says_what_installs_it_and_a_plain_files_name() -> None:
    assert installer(Facts(Format.RAUC), "swupdate") == "rauc"
    assert installer(Facts(Format.MENDER), "swupdate") == "file"
    assert installer(Facts(Format.PLAIN), "swupdate") == "swupdate"


def test_long_facts_are_cut_and_say_so() -> None:
    parts = tuple(Payload(str(number)) for number in range(1000))
    broken = (*[Signature("CMS", Verdict.VALID, "all")] * 100, Signature("CMS", Verdict.BROKEN, "all"))
    cut = bounded(Facts(Format.SWU, payloads=parts, signatures=broken, warnings=("beware",) * 100))
    assert (len(cut.payloads), len(cut.signatures), len(cut.warnings)) == (MOST, MOST, MOST)
    assert cut.verdict is Verdict.BROKEN
    assert "1010 more" in cut.warnings[-1]
    short = Facts(Format.SWU, payloads=parts[:3])
    assert bounded(short) == short
