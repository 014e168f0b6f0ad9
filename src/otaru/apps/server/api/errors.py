"""Error answers, for the description of each operation."""

from typing import Any

from otaru.apps.server.problems import MEDIA_TYPE

_WORDS = {
    400: "What was sent is not of the form that was asked for; `errors` says what is wrong with which field.",
    401: "No token, or one that is unknown, expired or revoked.",
    403: "The token's role may not do this.",
    404: "There is no such thing in this tenant.",
    409: "The thing's state does not allow it (`allowed` lists what it does), its key is taken, or the Idempotency-Key "
    "was used for another request.",
    412: "It has changed since the edition that If-Match names.",
    413: "A body, a field or a file is over its limit, or the quota is used up.",
    416: "The range lies outside the file.",
    422: "It would concern nothing at all, the bytes are not those that were announced, or metadata or an image is refused.",
    500: "Our fault; `request_id` finds it in the server's log.",
    503: "Too much is waiting, or a part does not answer: the same request may succeed after Retry-After.",
    507: "The disk is full; nothing of the request was kept.",
}

EVERYWHERE = (400, 401, 403, 500, 503)
"""What every operation may answer."""

Documented = dict[int | str, dict[str, Any]]


def errors(*statuses: int) -> Documented:
    """The error answers of an operation, beside those that every one may give."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": _WORDS[status], "content": {MEDIA_TYPE: schema}}
        for status in sorted({*statuses, *EVERYWHERE})
    }
