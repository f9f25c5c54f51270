"""The one exception that users see without a traceback."""


class AerieError(Exception):
    """A user's mistake or broken input; the message names the file, row or key and says what to do."""
