"""One target under libFuzzer: `python -m tests.fuzz.one NAME CORPUS… -option=…`. Runs where atheris is (`make fuzz`)."""

import random
import sys

import atheris

with atheris.instrument_imports(include=["otaru.images"]):
    from tests.fuzz.targets import TARGETS

_MENDED = 0.8
"""The share of mutations whose sums are made right: the others try the sums."""


def main() -> None:
    """Fuzz until a finding, or as long as the options say."""
    target = TARGETS[sys.argv.pop(1)]

    def once(data: bytes) -> int:
        return 0 if target.check(data) else -1

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        for _ in range(chance.choice((1, 1, 2, 4))):
            data = atheris.Mutate(data, most)
        return target.mend(data)[:most] if chance.random() < _MENDED else data

    if target.mend is bytes:
        atheris.Setup(sys.argv, once)
    else:
        atheris.Setup(sys.argv, once, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
