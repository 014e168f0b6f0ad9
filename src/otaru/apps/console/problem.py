"""What went wrong, as a page."""

from collections.abc import Mapping
from typing import Any

from otaru.apps.console.rendering import environment


def problem_as_page(problem: Mapping[str, Any], *, within: bool) -> bytes:
    """A problem (RFC 9457) as a page of its own; `within` a page that renews a part of itself, the words alone."""
    template = environment().get_template("problem_words.html" if within else "problem.html")
    # Text that came from outside may hold lone surrogates.
    return template.render(problem=problem, visitor=None).encode(errors="replace")
