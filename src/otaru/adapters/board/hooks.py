"""Programs of the device's maker that are called at the turns of an update.

They learn of it by their environment: OTARU_MOMENT, OTARU_RELEASE, OTARU_ACTION, and afterwards OTARU_OUTCOME, OTARU_CODE. What
is called before may object, by any other end than 0; it is called again later. What is called afterwards is only told, once
or, after a power cut, more often.
"""

from collections.abc import Mapping, Sequence

from otaru.adapters.board.program import ended
from otaru.domain.update import Moment
from otaru.errors import InstallError


class CommandHooks:
    """`ports.board.Hooks` by programs."""

    def __init__(self, commands: Mapping[Moment, Sequence[str]], timeout_s: float = 60) -> None:
        """Take the programs by their moment; those that take longer are ended, and object."""
        self._commands = {moment: tuple(words) for moment, words in commands.items() if words}
        self._timeout_s = timeout_s

    def call(self, moment: Moment, told: Mapping[str, str]) -> str:
        words = self._commands.get(moment)
        if words is None:
            return ""
        try:
            done = ended(words, self._timeout_s, {"OTARU_MOMENT": moment, **told})
        except InstallError as error:
            said = error.message
        else:
            said = "" if done.code == 0 else f"{' '.join(words)[:100]} {done.how}"
        return said
