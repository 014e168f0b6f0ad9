"""Names and numbers that identify things, parsed at the edge and trusted inside."""

import re
from typing import NewType

from otaru.errors import InvalidInputError

TenantId = NewType("TenantId", str)
DeviceId = NewType("DeviceId", str)
ProductName = NewType("ProductName", str)
Version = NewType("Version", str)
RolloutId = NewType("RolloutId", int)
ActionId = NewType("ActionId", int)
"""A device's own running number of a deployment on the wire: 1, 2, 3 …, below 2^31 (PROTOCOLS: Zephyr reads an int32)."""
Sha256 = NewType("Sha256", str)
TokenId = NewType("TokenId", str)
CredentialId = NewType("CredentialId", str)

DEFAULT_TENANT = TenantId("DEFAULT")
MAX_ACTION = 2**31 - 1

RESERVED_TENANTS = frozenset(
    {"api", "device", "tuf", "log", "static", "healthz", "readyz", "metrics", "login", "logout", ".well-known"}
    | {"console", "devices", "groups", "enrollments", "releases", "rollouts", "events", "settings", "help", "keys"}
)

_DEVICE = re.compile(r"[A-Za-z0-9._:~-]{1,128}")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PRODUCT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~:-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HARDWARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ /+-]{0,127}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def _checked(pattern: re.Pattern[str], text: str, what: str, form: str) -> str:
    if not pattern.fullmatch(text):
        shown = text if len(text) <= 64 else text[:61] + "…"
        raise InvalidInputError(f"{shown!r} is not a {what}", hint=f"A {what} is {form}.")
    return text


def device_id(text: str) -> DeviceId:
    """Parse a device id: 1 to 128 of `A-Za-z0-9._:~-`, but not `.` or `..` (it stands in URL paths)."""
    if text in {".", ".."}:
        raise InvalidInputError(f"{text!r} is not a device id", hint="A path would swallow it.")
    return DeviceId(_checked(_DEVICE, text, "device id", "1 to 128 characters of A-Z a-z 0-9 . _ : ~ -"))


def tenant_id(text: str) -> TenantId:
    """Parse a tenant's name; names that are path prefixes of ours are refused."""
    if text.lower() in RESERVED_TENANTS:
        raise InvalidInputError(f"the tenant name {text!r} is reserved")
    return TenantId(_checked(_TENANT, text, "tenant name", "1 to 64 characters of A-Z a-z 0-9 _ -"))


def product_name(text: str) -> ProductName:
    """Parse a product's name."""
    return ProductName(_checked(_PRODUCT, text, "product name", "1 to 128 characters of A-Z a-z 0-9 . _ -"))


def version(text: str) -> Version:
    """Parse a version; its order is the product's business."""
    return Version(_checked(_VERSION, text, "version", "1 to 128 characters of A-Z a-z 0-9 . _ + ~ : -"))


def sha256(text: str) -> Sha256:
    """Parse a SHA-256 in lower-case hexadecimal."""
    return Sha256(_checked(_SHA256, text, "SHA-256", "64 lower-case hexadecimal digits"))


def hardware_model(text: str) -> str:
    """Parse a hardware model, or revision, as people and devices write it."""
    return _checked(_HARDWARE, text, "hardware name", "1 to 128 characters of A-Z a-z 0-9 . _ / + - and space")


def name(text: str) -> str:
    """Parse a short name: of a tag, an attribute, a component."""
    return _checked(_NAME, text, "name", "1 to 128 characters of A-Z a-z 0-9 . _ -")
