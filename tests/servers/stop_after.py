"""A request to stop that comes at a known moment."""

from model.training.stopping import StopRequest


class StopAfter(StopRequest):
    """Asks to stop as SIGTERM would, once the loop has looked `looks` times."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def requested(self) -> bool:
        self.looks -= 1
        return self.looks <= 0
