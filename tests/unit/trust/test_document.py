"""What people sign offline: what is none says so in plain words."""

import pytest

from otaru.errors import OtaruError
from otaru.trust.document import read_document


@pytest.mark.parametrize(("kind", "said"), [("offline-bundle", "an offline-bundle"), ("permit", "a permit")])
def test_what_is_no_such_document_is_told_so(kind: str, said: str) -> None:
    for given in (b"{", {"signed": 1}, {"signed": {"_type": kind}, "signatures": []}, b"0" * 9):
        with pytest.raises(OtaruError) as caught:
            read_document(kind, given, ["name"], 8)
        assert said in caught.value.message
