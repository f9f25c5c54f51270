"""The messages that a run's steps left behind when they stopped on a user's mistake (see door.py)."""


def step_errors(storage_uri: str, run_id: str) -> dict[str, str]:
    """Message by step, for example `packing.stage_1`; in a bucket also of steps that succeeded at a later try."""
    from data.files import join, read_bytes, step_folder
    from data.folders import files_below

    folder = step_folder(storage_uri, run_id, "errors")
    return {name.removesuffix(".txt"): read_bytes(join(folder, name)).decode() for name in files_below(folder)}
