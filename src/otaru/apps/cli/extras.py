"""What the base install does not bring: imported inside the commands that need it."""

from collections.abc import Iterator
from contextlib import contextmanager

from otaru.errors import OtaruError


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import below this what belongs to the extra `name`.

    Raises:
        OtaruError: it is not installed; the hint says how to.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "otaru").partition(".")[0] == "otaru":
            raise  # ours: a bug, not a missing extra
        raise OtaruError(
            f"this command needs {error.name}, which is not installed", hint=f'pip install "otaru[{name}]"'
        ) from None
