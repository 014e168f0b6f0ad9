"""What a fleet did: counted while it does it, told when it is asked."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Tally:
    """Counts of one fleet; its devices add to it."""

    devices: int = 0
    added: int = 0
    """New to the server; the others it knew."""
    polls: int = 0
    polls_lost: int = 0
    """Polls that a device did not make because it was offline."""
    reports: int = 0
    reports_lost: int = 0
    """Reports, or answers to reports, that got lost: each was sent again."""
    updates: int = 0
    """Updates begun."""
    downloads: int = 0
    """Downloads completed, with the right checksum."""
    breaks: int = 0
    """Connections broken in the middle of a download: each was resumed."""
    bytes: int = 0
    restarts: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """Updates by how they ended for the device."""
    troubles: Counter[str] = field(default_factory=Counter)
    """Requests that the server or the network refused, by error code."""
    words: Counter[str] = field(default_factory=Counter)
    """The last words of failed updates."""

    def facts(self) -> dict[str, Any]:
        """As JSON-able facts."""
        return {
            "devices": self.devices,
            "added": self.added,
            "polls": self.polls,
            "polls_lost": self.polls_lost,
            "reports": self.reports,
            "reports_lost": self.reports_lost,
            "updates": self.updates,
            "downloads": self.downloads,
            "breaks": self.breaks,
            "bytes": self.bytes,
            "restarts": self.restarts,
            "outcomes": {str(k): n for k, n in sorted(self.outcomes.items())},
            "troubles": dict(sorted(self.troubles.items())),
            "words": dict(self.words.most_common(20)),
        }

    def line(self) -> str:
        """In one line, for people."""
        ended = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items())) or "none"
        trouble = "".join(f", {count} x {code}" for code, count in sorted(self.troubles.items()))
        return (
            f"{self.polls} polls, {self.updates} updates begun, ended: {ended}; "
            f"{self.bytes / 1e6:.1f} MB, {self.breaks} broken downloads resumed{trouble}"
        )


def fingerprint(stories: Iterable[tuple[str, Iterable[str]]]) -> str:
    """One number for what all devices went through, whatever the order they are given in.

    Two runs with the same seed against the same releases have the same one, if both ran until all was finished.
    """
    digest = hashlib.sha256()
    for device, story in sorted((device, "\n".join(story)) for device, story in stories):
        digest.update(f"{device}\0{story}\0".encode())
    return digest.hexdigest()[:16]
