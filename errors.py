"""The error a user is meant to read.

Everything this pack refuses on purpose raises `UserError` or a subclass of it: one or two sentences that say what happened, why, and what
to do next. Anything else that escapes is a bug of ours and is shown with its traceback.
"""


class UserError(Exception):
    """Something the user can put right; the message says how."""


class Interrupted(Exception):  # noqa: N818 - no error
    """The user stopped the run. Not an error: nothing was lost but the run itself."""
