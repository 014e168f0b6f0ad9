"""The classic rule: shares of a wave, as hawkBit counts them."""

from otaru.domain.deployment import State
from otaru.domain.evidence import Call, Tally, Verdict
from otaru.domain.rollout import ClassicRule


def verdict(rule: ClassicRule | None, tally: Tally) -> Verdict:
    """Stop when more than `rule.error` of the witnesses failed, expand when at least `rule.success` succeeded, else hold.

    Witnesses are the wave's members but those who were skipped or cancelled or said no. Without any, or without a single
    success: hold, never pass. Without a rule: expand.
    """
    if rule is None:
        return Verdict(Call.EXPAND, "no rule")
    succeeded, failed, witnesses = tally.of(State.SUCCEEDED), tally.failures, tally.judged
    if witnesses == 0:
        return Verdict(Call.HOLD, f"none of its {tally.members} members bears witness")
    if failed > rule.error * witnesses:
        return Verdict(Call.STOP, f"{failed} of {witnesses} failed, more than {rule.error:.0%}")
    if succeeded > 0 and succeeded >= rule.success * witnesses - 1e-9:
        return Verdict(Call.EXPAND, f"{succeeded} of {witnesses} succeeded, at least {rule.success:.0%}")
    return Verdict(Call.HOLD, f"{succeeded} of {witnesses} succeeded, not yet {rule.success:.0%}")
