"""Names of roles and targets, made so that no client has to quote them and no two can be taken for one another.

A role that signs a product's releases is `product.<name>.<channel>`. A channel has no dot, so the name can be read back
whatever dots the product has. Clients keep delegated metadata by its role's name alone, so a name is delegated once, by
the top-level targets role. Its targets are `<product>/<channel>/<version>/<file>`: paths of two roles never meet.
"""

import re

from otaru.domain.ids import ProductName, Version, product_name
from otaru.domain.terms import CHANNEL, DEFAULT_CHANNEL
from otaru.errors import InvalidInputError, RoleNameError

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = TOP = ("root", "targets", "snapshot", "timestamp")
_PREFIX = "product."
_UNSAFE = re.compile(r"[^A-Za-z0-9._+~-]")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def role_of(product: ProductName, channel: str = DEFAULT_CHANNEL) -> str:
    """The role that signs a product's releases in a channel.

    Raises:
        RoleNameError: the channel is none.
    """
    if not CHANNEL.fullmatch(channel):
        raise RoleNameError(
            f"{channel[:64]!r} is not a channel", hint="A channel is 1 to 32 characters of a-z 0-9 and -."
        )
    return f"{_PREFIX}{product}.{channel}"


def product_of(role: str) -> tuple[ProductName, str]:
    """The product and channel that a delegated role signs for.

    Raises:
        RoleNameError: it is not the name of a delegated role.
    """
    name, dot, channel = role.removeprefix(_PREFIX).rpartition(".")
    try:
        if dot and role.startswith(_PREFIX) and role == role_of(product_name(name), channel):
            return product_name(name), channel
    except InvalidInputError:
        pass
    raise RoleNameError(f"{role[:64]!r} is not a role", hint="Roles are root, targets and product.NAME.CHANNEL.")


def patterns(role: str) -> list[str]:
    """The target paths that a delegated role may sign."""
    product, channel = product_of(role)
    return [f"{product}/{channel}/*/*", f"{product}/{channel}/*/*/*"]


def path_of(role: str, version: Version, filename: str, apart: str = "") -> str:
    """Where a file of a release stands below `targets/`. Clients put it into an address as it is, so odd signs become `_`.

    `apart` is a further folder, for files of one release that have the same name.
    """
    product, channel = product_of(role)
    folder = f"{product}/{channel}/{version}/{_UNSAFE.sub('_', apart)}".rstrip("/")
    return f"{folder}/{_UNSAFE.sub('_', filename)}"


def address(path: str, sha256: str) -> str:
    """The address of a target below `targets/`: its digest stands before its name (consistent snapshots)."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{sha256}.{name}"


def target_at(address: str) -> tuple[str, str] | None:
    """The path and digest of what is asked for below `targets/`; None where it names none."""
    folder, _, name = address.rpartition("/")
    sha256, dot, plain = name.partition(".")
    if not (folder and dot and plain and _SHA256.fullmatch(sha256)):
        return None
    return f"{folder}/{plain}", sha256
