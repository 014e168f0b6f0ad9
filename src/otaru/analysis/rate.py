"""The rate rule, as AWS IoT Jobs documents it: how many devices a minute, and when to abort."""

from otaru.domain.deployment import State
from otaru.domain.evidence import Call, Tally, Verdict
from otaru.domain.rollout.rate import FailureType, RateRule

_COUNTED = {
    FailureType.FAILED: frozenset({State.FAILED, State.REVERTED}),
    FailureType.REJECTED: frozenset({State.REJECTED}),
    FailureType.TIMED_OUT: frozenset({State.SILENT}),
}
_FAILURES = frozenset().union(*_COUNTED.values())
_COMPLETED = _FAILURES | {State.SUCCEEDED}


def per_minute(rule: RateRule, notified: int, succeeded: int) -> int:
    """The rate now. Documented example: base 50, factor 2, every 1000: 50, from 1000 on 100, from 2000 on 200, ..."""
    done = succeeded if rule.succeeded else notified
    rate = float(rule.base)
    for _ in range(done // rule.every):
        rate *= rule.factor
        if rate >= rule.maximum:
            return rule.maximum
    return int(rate + 1e-9)


def verdict(rule: RateRule, tally: Tally) -> Verdict:
    """Stop at the first criterion that is met, in the order given; else expand. The rate alone does not wait."""
    completed = tally.of(*_COMPLETED)
    for abort in rule.aborts:
        bad = tally.of(*(_FAILURES if abort.failure is FailureType.ALL else _COUNTED[abort.failure]))
        if completed >= abort.minimum and 100 * bad >= abort.threshold * completed - 1e-9:
            what = "failed in any way" if abort.failure is FailureType.ALL else str(abort.failure).replace("_", " ")
            return Verdict(Call.STOP, f"{bad} of {completed} {what}, at least {abort.threshold:g} %")
    return Verdict(Call.EXPAND, f"{completed} completed, no abort criterion is met")
