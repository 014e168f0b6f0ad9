"""Whether an update may begin here: what its rollout asks for, and what the device's maker does."""

from collections.abc import Iterable

from otaru.domain.conditions import Condition, condition, forbids, names
from otaru.errors import OtaruError
from otaru.services.edge.parts import Parts


def held_back(parts: Parts, asked: Iterable[str]) -> str | None:
    """Why it may not begin now, in words; None: it may. What is not known here does not hold."""
    conditions: list[Condition] = list(parts.require)
    for text in asked:
        try:
            conditions.append(condition(text))
        except OtaruError:
            return f"it does not know the condition {text[:80]!r}"
    if not conditions:
        return None
    facts = {} if parts.senses is None else parts.senses.facts(names(conditions))
    return forbids(conditions, facts)
