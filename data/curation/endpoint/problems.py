"""What can go wrong between a request and its answer; who reads them decides whether to wait, skip or stop.

No message carries a request's headers, and the endpoint's own words only without the key.
"""

from data.errors import AerieError


class EndpointFailedError(AerieError):
    """The endpoint can't be used: gone, busy time after time, or it refuses the key, the model or the path.

    `hopeless` is True when asking again can't help.
    """

    def __init__(self, message: str, *, hopeless: bool = False) -> None:
        super().__init__(message)
        self.hopeless = hopeless


class RequestRefusedError(Exception):
    """This one request is refused (status 400, 413, 422): too long, or an image that the model can't read."""


class TryAgainError(Exception):
    """One try came to nothing.

    `retry_after` are the seconds that the endpoint asks for, if it does; `perhaps_paid` is True when the endpoint may
    have written an answer, and charged for it, that never arrived whole.
    """

    def __init__(self, reason: str, *, retry_after: float | None = None, perhaps_paid: bool = False) -> None:
        super().__init__(reason)
        self.retry_after, self.perhaps_paid = retry_after, perhaps_paid
