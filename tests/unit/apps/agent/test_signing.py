"""The device's key, used in a process of its own."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from otaru.apps.agent.identity import FileKey
from otaru.apps.agent.signing import DistantKey
from otaru.errors import DataFolderError


def test_it_signs_as_the_key_in_this_process_does(tmp_path: Path) -> None:
    here, there = FileKey(tmp_path), DistantKey(tmp_path)
    assert (there.pem, there.der) == (here.pem, here.der)
    public = load_der_public_key(there.der)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    text = b"otaru\n\x00 any bytes"
    public.verify(there.sign(text), text, ec.ECDSA(SHA256()))


def test_a_key_that_is_none_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("rotten")
    with pytest.raises(DataFolderError, match="is no private key"):
        DistantKey(tmp_path).sign(b"")
