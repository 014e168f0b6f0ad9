"""Exit codes, and which error leaves with which: the command line's edge of `errors.py`."""

from enum import IntEnum

from otaru import errors


class Exit(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOTHING_TO_DO = 3
    REFUSED = 4
    PARTLY = 5
    INTERRUPTED = 130


EXITS: dict[type[errors.OtaruError], Exit] = {
    errors.InvalidInputError: Exit.USAGE,
    errors.ForbiddenError: Exit.REFUSED,
    errors.RefusedError: Exit.REFUSED,
    errors.MetadataError: Exit.REFUSED,
    errors.ImageError: Exit.REFUSED,
    errors.NothingToDoError: Exit.NOTHING_TO_DO,
    errors.SignatureMissingError: Exit.REFUSED,
    errors.NeverDueError: Exit.REFUSED,
}
"""Subclasses leave with their parent's code; what is not named here has failed."""


def exit_code(error: errors.OtaruError) -> Exit:
    """The exit code of an error."""
    return next((EXITS[kind] for kind in type(error).__mro__ if kind in EXITS), Exit.FAILED)
