"""What a fleet tells of itself."""

import json

from otaru.apps.simulator.report import Tally, fingerprint


def test_the_fingerprint_knows_who_lived_through_what_and_not_in_which_order_it_is_told() -> None:
    stories = [("a", ["1 offered", "1 failed"]), ("b", ["1 offered"])]
    ours = fingerprint(stories)
    assert ours == fingerprint(reversed(stories))
    assert ours != fingerprint([("a", ["1 offered"]), ("b", ["1 offered", "1 failed"])])
    assert ours != fingerprint([("a", ["1 failed", "1 offered"]), ("b", ["1 offered"])])
    assert ours != fingerprint(stories[:1])


def test_a_tally_counts_outcomes_and_troubles_in_a_line_and_as_json() -> None:
    tally = Tally(devices=3, polls=12)
    tally.outcomes.update({"succeeded": 2, "failed": 1})
    tally.troubles["unauthenticated"] += 4
    facts = json.loads(json.dumps(tally.facts()))
    assert facts["outcomes"] == {"failed": 1, "succeeded": 2}
    assert facts["polls"] == 12
    line = tally.line()
    assert "1 failed, 2 succeeded" in line
    assert "4 x unauthenticated" in line
