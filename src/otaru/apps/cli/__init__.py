import os
import sys

from otaru.apps.cli.exits import Exit, exit_code
from otaru.errors import OtaruError


def main() -> None:
    """The console script `otaru`: whatever goes wrong is one line on stderr and an exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line `arguments`; its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding cannot show must not end the program.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has enough. Nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    return code


def _run(arguments: list[str]) -> int:
    try:
        from otaru.apps.cli import lean

        if (config := lean.config(arguments)) is not None:
            lean.run(config)
            return Exit.DONE
        from otaru.apps.cli.app import app

        app(args=arguments, prog_name="otaru")
    except SystemExit as end:
        return _code(end)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except OtaruError as error:
        _say(error.message, error.hint)
        return exit_code(error)
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("OTARU_DEBUG") == "1":
            raise
        _say(f"something went wrong that should not: {type(error).__name__}: {error}", "OTARU_DEBUG=1 shows where.")
        return Exit.FAILED
    return Exit.DONE


def _code(end: SystemExit) -> int:
    return end.code if isinstance(end.code, int) else Exit.DONE if end.code is None else Exit.FAILED


def _say(message: str, hint: str | None) -> None:
    from otaru.apps.cli.printer import one_line

    print(f"otaru: {one_line(message, 2000)}", file=sys.stderr)
    if hint:
        print(f"       {one_line(hint, 2000)}", file=sys.stderr)
