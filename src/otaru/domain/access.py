"""Who may do what: roles and permissions of API tokens."""

from enum import StrEnum


class Role(StrEnum):
    """What a token's holder is."""

    ADMIN = "admin"
    OPERATOR = "operator"
    PUBLISHER = "publisher"
    VIEWER = "viewer"


class Permission(StrEnum):
    """What an operation needs."""

    READ = "read"
    READ_AUDIT = "audit:read"
    WRITE_DEVICES = "devices:write"
    WRITE_RELEASES = "releases:write"
    WRITE_ROLLOUTS = "rollouts:write"
    WRITE_TENANT = "tenant:write"
    WRITE_TOKENS = "tokens:write"


_GRANTS: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission),
    Role.OPERATOR: frozenset({Permission.READ, Permission.WRITE_DEVICES, Permission.WRITE_ROLLOUTS}),
    Role.PUBLISHER: frozenset({Permission.READ, Permission.WRITE_RELEASES}),
    Role.VIEWER: frozenset({Permission.READ}),
}


def may(role: Role, permission: Permission) -> bool:
    """Whether `role` includes `permission`."""
    return permission in _GRANTS[role]
