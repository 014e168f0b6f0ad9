"""`make fuzz`: every target in turn, FUZZ_SECONDS each, on one core. What was found stays in `.fuzz/`, to be looked at.

FUZZ_TARGETS names some of them. What libFuzzer learned stays too, so that the next time goes on from there.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import LARGEST, SEEDS, TARGETS

KEPT = Path(".fuzz")
TIMEOUT_S = 10
MEMORY_MB = 1500


def fuzz(name: str, seconds: int) -> bool:
    """Whether a target held."""
    corpus, findings = KEPT / name / "corpus", KEPT / name / "findings"
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(exist_ok=True)
    options = {
        "max_total_time": seconds, "max_len": LARGEST, "timeout": TIMEOUT_S, "rss_limit_mb": MEMORY_MB,
        "artifact_prefix": f"{findings}/", "print_final_stats": 1, "verbosity": 1, "use_value_profile": 1,
    }  # fmt: skip
    told = [f"-{option}={value}" for option, value in options.items()]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.one", name, str(corpus), str(SEEDS / name), *told],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
    )  # fmt: skip
    (KEPT / name / "log").write_text(done.stdout)
    runs = re.findall(r"number_of_executed_units: *(\d+)|^Done (\d+) runs|^#(\d+)", done.stdout, re.MULTILINE)
    reached = re.findall(r"cov: (\d+)", done.stdout)
    count = max((int(number) for found in runs for number in found if number), default=0)
    words = "held" if done.returncode == 0 else f"FOUND something: {KEPT / name / 'log'}"
    sys.stdout.write(f"{name:10} {count:>9,} runs  {reached[-1] if reached else 0:>5} branches  {words}\n")
    sys.stdout.flush()
    return done.returncode == 0


def main() -> int:
    """Fuzz; 1 where something was found."""
    seconds = int(os.environ.get("FUZZ_SECONDS", "60"))
    names = os.environ.get("FUZZ_TARGETS", " ".join(TARGETS)).split()
    held = [fuzz(name, seconds) for name in names]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
