"""Secrets in what a device sends of itself: found by their looks, and by what the device knows to be one.

Best effort, and said so (docs/diagnostics.md): what looks like nothing is not found. Every pattern is linear in its text.
"""

import re
from collections.abc import Collection, Sequence

GONE = "[redacted]"
SHORTEST = 6
"""Characters of a known secret: shorter ones would blot out half of a log."""
_NAMES = (
    r"pass(?:word|wd|phrase)?|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?|psk|sig(?:nature)?"
)
_PATTERNS: Sequence[tuple[re.Pattern[str], str]] = (
    (
        re.compile(r"-----BEGIN ([A-Z ]{0,40})PRIVATE KEY-----.*?(?:-----END \1PRIVATE KEY-----|\Z)", re.DOTALL),
        GONE,
    ),
    # Of a key whose beginning was cut off.
    (re.compile(r"\A(?:(?!-----BEGIN ).)*?-----END [A-Z ]{0,40}PRIVATE KEY-----", re.DOTALL), GONE),
    (re.compile(r"(?i)\b((?:proxy-)?authorization[\"']?\s{0,9}[:=]\s{0,9})[^\r\n]{1,4096}"), rf"\1{GONE}"),
    (re.compile(r"(?i)\b((?:set-)?cookie[\"']?\s{0,9}[:=]\s{0,9})[^\r\n]{1,4096}"), rf"\1{GONE}"),
    (re.compile(r"(?i)\b(bearer|basic|targettoken|gatewaytoken)\s{1,9}[A-Za-z0-9._~+/=-]{6,4096}"), rf"\1 {GONE}"),
    (
        re.compile(
            rf"(?i)((?:{_NAMES})[A-Z0-9_-]{{0,32}}[\"']?\s{{0,9}}[:=]\s{{0,9}})"
            r"(?:\"[^\"\r\n]{0,4096}\"?|'[^'\r\n]{0,4096}'?|[^\s\"'&,;]{1,4096})"
        ),
        rf"\1{GONE}",
    ),
    (re.compile(r"(://[^/\s:@]{0,256}:)[^@\s/]{1,256}@"), rf"\1{GONE}@"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{0,8192}\.?[A-Za-z0-9_-]{0,4096}"), GONE),
)


def redacted(text: str, known: Collection[str] = ()) -> str:
    """A text without what looks like a secret, and without `known` ones."""
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= SHORTEST:
            text = text.replace(secret, GONE)
    for pattern, put in _PATTERNS:
        text = pattern.sub(put, text)
    return text
