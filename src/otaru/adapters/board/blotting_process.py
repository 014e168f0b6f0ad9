"""The process of `blotting`: a text comes by stdin, what is left of it goes to stdout. It needs little, so it begins fast."""

import json
import re
import resource
import signal
import sys
from contextlib import suppress

_MEMORY = 1 << 30


def main() -> None:
    """Take out what expressions find. It ends after so many seconds, also where nobody is there any more who would end it."""
    expressions, put, seconds = json.loads(sys.argv[1])
    signal.signal(
        signal.SIGALRM, signal.SIG_DFL
    )  # it ends the process; a handler of Python's would wait for the expression
    signal.alarm(seconds)
    with suppress(OSError, ValueError):  # the agent's unit may not set limits
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    text = sys.stdin.buffer.read().decode(errors="replace")
    for expression in expressions:
        text = re.sub(expression, put, text)
    sys.stdout.buffer.write(text.encode(errors="replace"))
