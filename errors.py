"""The error a user is meant to read.

Everything this pack refuses on purpose raises `UserError` or a subclass of it: one or two sentences that say what happened, why, and what
to do next. Anything else that escapes is a bug of ours and is shown with its traceback.
"""


class UserError(Exception):
    """Something the user can put right; the message says how."""


def first_line(error: BaseException) -> str:
    """What an error of a library says, short enough for a sentence; its name where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class Interrupted(Exception):  # noqa: N818 - no error
    """The user stopped the run. Not an error: nothing was lost but the run itself."""
