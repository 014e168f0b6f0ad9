"""What runs on the device."""

from otaru.domain.ids import Version
from otaru.domain.update_record import Record
from otaru.services.edge.parts import Parts


def installed(parts: Parts, record: Record) -> dict[str, Version]:
    """What runs in each component, as far as it is known here."""
    return {name: Version(version) for name, version in {**parts.me.installed, **record.installed}.items()}
