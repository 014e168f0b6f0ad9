"""GLib's key files, as RAUC's manifests are written in them: `[group]`, `key=value`, comments with `#`."""

from otaru.images.reading import BrokenImageError

Groups = dict[str, dict[str, str]]
_MOST_LINES = 20_000


def parse(raw: bytes, what: str) -> Groups:
    """Read a key file.

    Raises:
        BrokenImageError: it is none, or says a group or a key twice: readers would differ on which one counts.
    """
    try:
        lines = raw.decode().split("\n")
    except UnicodeDecodeError:
        raise BrokenImageError(f"{what} is not UTF-8") from None
    if len(lines) > _MOST_LINES:
        raise BrokenImageError(f"{what} has more than {_MOST_LINES} lines")
    groups: Groups = {}
    group: dict[str, str] | None = None
    for line in (line.strip() for line in lines):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            name = line[1:-1]
            if name in groups:
                raise BrokenImageError(f"{what} has the group {name[:80]!r} twice")
            group = groups[name] = {}
            continue
        key, equals, value = line.partition("=")
        key = key.rstrip()
        if group is None or not equals or not key:
            raise BrokenImageError(f"{what} is no key file at {line[:80]!r}")
        if key in group:
            raise BrokenImageError(f"{what} has the key {key[:80]!r} twice")
        group[key] = value.lstrip()
    return groups
