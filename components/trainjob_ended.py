"""A note in the run's folder that its exit handler ran: a launcher that outlived its run creates nothing any more.

The note is new each time, since KFP's "retry" goes on with a run of the same id: a launcher compares it with the one
that lay there when it started. A deleted job can't carry it; one that was still in the queue is gone at once.
"""

from datetime import UTC, datetime


def note_end(run_folder: str, kfp_run: str, state: str) -> None:
    """Write the note; OSError when the storage can't be reached."""
    from data.files import write_bytes

    write_bytes(_uri(run_folder, kfp_run), f"{datetime.now(UTC).isoformat()} {state}\n".encode())


def noted_end(run_folder: str, kfp_run: str) -> str:
    """The note, empty when there is none; ClusterError when the storage can't be reached."""
    from components.trainjob_patience import NO_ANSWER, ClusterError
    from data.files import exists, read_bytes

    uri = _uri(run_folder, kfp_run)
    try:
        return read_bytes(uri).decode() if kfp_run and exists(uri) else ""
    except OSError as error:
        raise ClusterError(NO_ANSWER, f"storage {run_folder}: {error}") from None


def _uri(run_folder: str, kfp_run: str) -> str:
    from components.trainjob_manifest import label_value
    from data.files import join

    return join(run_folder, "ended", label_value(kfp_run))
