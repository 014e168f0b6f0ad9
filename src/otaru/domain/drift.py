"""How a device says that what was installed in a component is no longer as it was: by its attribute `drift.COMPONENT`."""

from collections.abc import Mapping

PREFIX = "drift."
NONE = "none"
"""It is as it was installed."""


def drifted(attributes: Mapping[str, str]) -> dict[str, str]:
    """What has changed, by component; nothing of those where nothing has."""
    found = {name.removeprefix(PREFIX): said for name, said in sorted(attributes.items()) if name.startswith(PREFIX)}
    return {component: said for component, said in found.items() if said != NONE}
