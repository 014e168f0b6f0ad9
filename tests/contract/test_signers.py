"""The port `Signer`, in files and in a hardware token (SoftHSM2), and the keyring of a server."""

import stat
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Signature

from otaru.adapters.signers.file import FileSigner, FolderKeyring, generate, read_key, write_key
from otaru.errors import DataFolderError, InvalidInputError, UnavailableError
from otaru.ports.signing import Signer
from otaru.trust.tuf import changes
from otaru.trust.tuf.keys import as_pem, check_keys, from_json, read_public
from otaru.trust.tuf.metadata import check_signatures, signed
from tests.support.keys import NOW
from tests.support.kms import kms
from tests.support.kms import make as new_kms_key
from tests.support.softhsm import MODULE, PIN, address, make_token
from tests.support.stores import ACME, RIVAL


def in_a_file(folder: Path, kind: str) -> Signer:
    write_key(folder / "key.pem", generate(kind), b"correct horse")
    return read_key(folder / "key.pem", b"correct horse")


def in_the_cloud(cloud: Any, kind: str) -> Signer:
    from otaru.adapters.signers.kms import KmsSigner

    return KmsSigner(f"awskms:{new_kms_key(cloud, kind)}")


def in_a_token(folder: Path, _: str) -> Signer:
    pytest.importorskip("pkcs11")
    from otaru.adapters.signers.pkcs11 import Pkcs11Signer, place

    return Pkcs11Signer(place(address(make_token(folder, "otaru", "root-1"), "root-1")), PIN)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Any]:
    with kms() as (client, _):
        yield client


@pytest.fixture(
    scope="module",
    params=[
        (in_a_file, "ed25519"),
        (in_a_file, "p256"),
        (in_a_token, ""),
        (None, "ECC_NIST_P256"),
        (None, "ECC_NIST_P384"),
    ],
    ids=["file-ed25519", "file-p256", "pkcs11", "kms-p256", "kms-p384"],
)
def signer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Signer:
    make: Callable[[Path, str], Signer] | None
    make, kind = request.param
    return (
        make(tmp_path_factory.mktemp("signer"), kind) if make else in_the_cloud(request.getfixturevalue("cloud"), kind)
    )


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=3000))
def test_its_key_finds_its_signature_good_and_no_other(signer: Signer, data: bytes) -> None:
    made = Signature(signer.key.keyid, signer.sign(data).hex())
    signer.key.verify_signature(made, data)
    with pytest.raises(UnverifiedSignatureError):
        signer.key.verify_signature(made, data + b".")


def test_its_key_is_one_that_metadata_may_name(signer: Signer) -> None:
    check_keys({signer.key.keyid: signer.key})
    assert read_public(as_pem(signer.key)) == signer.key
    assert from_json(signer.key.to_dict()) == signer.key


def test_it_signs_metadata(signer: Signer) -> None:
    keys = {role: ([signer.key], 1) for role in ("root", "targets", "snapshot", "timestamp")}
    root = changes.new_root(keys, NOW)
    check_signatures(root.signed, "root", signed(root, signer.key.keyid, signer.sign(root.signed_bytes)))


def test_a_key_file_is_encrypted_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    write_key(path, generate(), b"secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for words, good in (("pass:secret", True), ("pass:other", False)):
        # OpenSSL is the stranger that reads it.
        words_of = ["openssl", "pkey", "-in", str(path), "-passin", words, "-noout"]
        asked = subprocess.run(words_of, check=False, capture_output=True)
        assert (asked.returncode == 0) == good
    with pytest.raises(InvalidInputError, match="already"):
        write_key(path, generate(), b"secret")


def test_key_files_that_are_none(tmp_path: Path) -> None:
    covered, plain, rsa, junk = (tmp_path / name for name in ("covered", "plain", "rsa", "junk"))
    write_key(covered, generate(), b"secret")
    write_key(plain, generate(), None)
    subprocess.run(["openssl", "genrsa", "-out", rsa, "2048"], check=True, capture_output=True)
    junk.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    for path, passphrase, told in (
        (covered, None, "passphrase"),
        (covered, b"other", "another"),
        (plain, b"other", "not encrypted"),
        (rsa, None, "neither"),
        (junk, None, "no private key"),
        (tmp_path / "nothing", None, "cannot be read"),
    ):
        with pytest.raises(InvalidInputError, match=told):
            read_key(path, passphrase)


def test_a_keyring_keeps_each_tenant_s_keys(tmp_path: Path) -> None:
    ring = FolderKeyring(tmp_path / "keys")
    ours, theirs = ring.make(ACME), ring.make(RIVAL)
    both = {ours.key.keyid, theirs.key.keyid}
    for keyring in (ring, FolderKeyring(tmp_path / "keys")):
        assert set(keyring.of(ACME, both)) == {ours.key.keyid}
        assert keyring.of(RIVAL, both)[theirs.key.keyid].key == theirs.key
    assert not ring.of(ACME, [f"../{RIVAL}/{theirs.key.keyid}", "", "x" * 10_000, "\0", "0" * 64])
    dropped = ring.make(ACME).key.keyid
    for name in (dropped, dropped, "0" * 64, f"../{RIVAL}/{theirs.key.keyid}"):
        ring.drop(ACME, name)
    ring.drop(RIVAL, ours.key.keyid)
    for keyring in (ring, FolderKeyring(tmp_path / "keys")):
        assert set(keyring.of(ACME, {*both, dropped})) == {ours.key.keyid}
    files = [path for path in (tmp_path / "keys").rglob("*") if path.is_file()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o600]
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in files} == {0o700}


def test_the_key_for_what_is_signed_all_the_time_lies_where_the_operator_says(tmp_path: Path, cloud: Any) -> None:
    pytest.importorskip("pkcs11")
    token = make_token(tmp_path / "hsm", "online", f"{ACME}-online", f"{RIVAL}-online")
    new_kms_key(cloud, alias=f"online-{ACME}")
    for number, where in enumerate((address(token, "{tenant}-online"), "awskms:alias/online-{tenant}")):
        ring = FolderKeyring(tmp_path / str(number), PIN, where)
        online = ring.online(ACME)
        online.key.verify_signature(Signature(online.key.keyid, online.sign(b"x").hex()), b"x")
        assert ring.online(ACME).key == online.key != ring.make(ACME).key
        # It stays held when the settings name another.
        assert (
            FolderKeyring(tmp_path / str(number), PIN).of(ACME, [online.key.keyid])[online.key.keyid].key == online.key
        )
        assert not list((tmp_path / str(number)).rglob(f"{online.key.keyid}.pem"))
    ring = FolderKeyring(tmp_path / "0", PIN, address(token, "{tenant}-online"))
    assert ring.online(RIVAL).key != ring.online(ACME).key
    with pytest.raises(InvalidInputError, match="DEFAULT"):
        FolderKeyring(tmp_path / "2", PIN, address(token, f"{ACME}-online")).online(ACME)
    for where in ("awskms:alias/online-{tenant}", address(token, "{tenant}-nothing")):
        with pytest.raises(InvalidInputError):
            FolderKeyring(tmp_path / "2", PIN, where).online(RIVAL)
    with pytest.raises(UnavailableError, match="PIN"):
        FolderKeyring(tmp_path / "2", None, address(token, "{tenant}-online")).online(ACME)
    one, other = FolderKeyring(tmp_path / "3").online(ACME), FolderKeyring(tmp_path / "3").online(ACME)
    assert one.key != other.key


def test_a_keyring_says_what_is_broken(tmp_path: Path) -> None:
    ring = FolderKeyring(tmp_path)
    name = ring.make(ACME).key.keyid
    other = ring.make(ACME).key.keyid
    path = tmp_path / ACME / f"{name}.pem"
    path.write_bytes((tmp_path / ACME / f"{other}.pem").read_bytes())
    with pytest.raises(DataFolderError, match="another"):
        FolderKeyring(tmp_path).of(ACME, [name])
    path.write_bytes(b"junk")
    with pytest.raises(DataFolderError):
        FolderKeyring(tmp_path).of(ACME, [name])


def test_a_token_says_what_is_wrong(tmp_path: Path) -> None:
    pytest.importorskip("pkcs11")
    from otaru.adapters.signers.pkcs11 import Pkcs11Signer, place

    token = make_token(tmp_path, "errors", "there")
    with pytest.raises(InvalidInputError, match="PIN"):
        Pkcs11Signer(place(address(token, "there")), "000000")
    with pytest.raises(InvalidInputError, match="not one EC key"):
        Pkcs11Signer(place(address(token, "elsewhere")), PIN)
    with pytest.raises(UnavailableError):
        Pkcs11Signer(place(f"pkcs11:token=none;object=there?module-path={MODULE}"), PIN)
    with pytest.raises(UnavailableError):
        Pkcs11Signer(place("pkcs11:token=none;object=there?module-path=/nowhere.so"), PIN)
    for uri in ("", "pkcs11:", "file:x", "pkcs11:token=a;object=b"):
        with pytest.raises(InvalidInputError):
            place(uri)


def test_a_token_that_was_away_comes_back(tmp_path: Path) -> None:
    signer = in_a_token(tmp_path, "")
    away = (tmp_path / "tokens").rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(UnavailableError):
            signer.sign(b"data")
    away.rename(tmp_path / "tokens")
    signer.key.verify_signature(Signature(signer.key.keyid, signer.sign(b"data").hex()), b"data")


def test_many_sign_with_one_token_at_once(tmp_path: Path) -> None:
    signer = in_a_token(tmp_path, "")
    with ThreadPoolExecutor(8) as pool:
        for signature in pool.map(signer.sign, [b"data"] * 64):
            signer.key.verify_signature(Signature(signer.key.keyid, signature.hex()), b"data")


def test_the_cloud_says_what_is_wrong(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from otaru.adapters.signers.kms import KmsSigner

    signer = KmsSigner(f"awskms:alias/{new_kms_key(cloud, alias='release') and 'release'}")
    for where in ("awskms:", "x", "awskms:alias/nothing", "awskms:11111111-2222-3333-4444-555555555555"):
        with pytest.raises(InvalidInputError):
            KmsSigner(where)
    for kind in ("RSA_2048", "SYMMETRIC_DEFAULT"):
        with pytest.raises(InvalidInputError):
            KmsSigner(f"awskms:{new_kms_key(cloud, kind)}")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError):
        KmsSigner("awskms:alias/release")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(InvalidInputError, match="AWS cannot be asked"):
        KmsSigner("awskms:alias/release")
    signer.key.verify_signature(Signature(signer.key.keyid, signer.sign(b"x").hex()), b"x")


def test_an_unknown_kind_of_key() -> None:
    with pytest.raises(InvalidInputError):
        generate("rsa")
    assert isinstance(FileSigner(generate("p256")).key.keyid, str)
