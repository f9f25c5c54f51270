"""A rank's files and what is read of them: fragments of any cut, from files of any size, whole or named as damaged."""

import itertools
from pathlib import Path

import pytest
import torch
from s3_proxy import control
from safetensors.torch import load_file

from data.errors import AerieError
from data.object_store import upload_file
from model.training.checkpoints.fragments import KINDS, Fragment
from model.training.checkpoints.resharding import fill
from model.training.checkpoints.snapshot import Snapshot

SIZES = {"a": 1000, "b": 1, "c": 77}


def state(sizes: dict[str, int], cuts: dict[str, list[int]], value: float | None) -> list[Fragment]:
    """Fragments of made-up parameters, cut at some places; random numbers, or all of one value."""
    found, generator = [], torch.Generator().manual_seed(1)
    for name, size in sizes.items():
        whole = {kind: torch.rand(size, generator=generator) for kind in KINDS}
        if value is not None:
            whole = {kind: torch.full((size,), value) for kind in KINDS}
        edges = [0, *cuts.get(name, []), size]
        for start, end in itertools.pairwise(edges):
            tensors = {kind: tensor[start:end] for kind, tensor in whole.items()}
            found.append(Fragment(name=name, start=start, step=torch.tensor(7.0 if value is None else 0.0), **tensors))
    return found


def written(folder: Path, fragments: list[Fragment], file_elements: int):
    snapshot = Snapshot(fragments, 0, file_elements=file_elements)
    pieces = snapshot.take(fragments)
    for file in snapshot.files:
        snapshot.write(file, str(folder / file), "a1", pieces)
    return snapshot, pieces


@pytest.mark.parametrize("file_elements", [30, 100, 10_000])
def test_fragments_of_any_cut_are_read_from_files_of_any_size(tmp_path, file_elements):
    source = state(SIZES, {"a": [999], "c": [10, 20]}, None)
    snapshot, pieces = written(tmp_path, source, file_elements)
    assert snapshot.nbytes == 12 * sum(SIZES.values())
    assert sum(piece.numel for piece in pieces) == sum(SIZES.values())
    stored = [load_file(tmp_path / file) for file in snapshot.files]
    assert sum(tensor.numel() for tensors in stored for tensor in tensors.values()) == 3 * sum(SIZES.values())
    target = state(SIZES, {"a": [1, 500, 501], "c": [15]}, 0.0)
    fill(str(tmp_path), "a1", target, pieces)
    for name in SIZES:
        for kind in KINDS:
            ours, theirs = (torch.cat([getattr(f, kind) for f in fs if f.name == name]) for fs in (target, source))
            assert torch.equal(ours, theirs)
    assert {float(fragment.step) for fragment in target} == {7.0}


def test_only_files_that_hold_something_of_a_rank_are_read(tmp_path):
    snapshot, pieces = written(tmp_path, state(SIZES, {}, None), 300)
    _, *others = snapshot.files
    assert len(others) > 2
    for file in others:
        (tmp_path / file).unlink()
    mine = state({"a": 100}, {}, 0.0)
    fill(str(tmp_path), "a1", mine, pieces)
    assert bool(mine[0].master.all())


def test_from_a_bucket_only_the_files_that_are_needed_are_fetched(tmp_path, s3_uri, faulty):
    snapshot, pieces = written(tmp_path, state(SIZES, {}, None), 300)
    for file in snapshot.files:
        upload_file(str(tmp_path / file), f"{s3_uri}/{file}")
    faulty.reset()
    mine = state({"c": 77}, {}, 0.0)
    fill(s3_uri, "a1", mine, pieces)
    assert torch.equal(mine[0].exp_avg, state(SIZES, {}, None)[2].exp_avg)
    needed = {piece.file for piece in pieces if piece.name == "c"}
    asked = {Path(request["path"].partition("?")[0]).name for request in control(faulty.url, "state")}
    assert asked & set(snapshot.files) == needed < set(snapshot.files)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder, path: path.unlink(), "file not found: .*rank-00000-000.safetensors.*remove"),
        (lambda folder, path: path.write_bytes(path.read_bytes()[:-1]), "not a whole safetensors file"),
        (lambda folder, path: path.write_bytes(b""), "not a whole safetensors file"),
    ],
    ids=["missing", "torn", "empty"],
)
def test_harm_to_a_file_is_named(tmp_path, harm, message):
    _, pieces = written(tmp_path, state(SIZES, {}, None), 10_000)
    harm(tmp_path, tmp_path / "rank-00000-000.safetensors")
    with pytest.raises(AerieError, match=message):
        fill(str(tmp_path), "a1", state(SIZES, {}, 0.0), pieces)


def test_another_attempts_file_and_a_gap_are_named(tmp_path):
    _, pieces = written(tmp_path, state(SIZES, {}, None), 300)
    with pytest.raises(AerieError, match="written over by another run"):
        fill(str(tmp_path), "a2", state(SIZES, {}, 0.0), pieces)
    with pytest.raises(AerieError, match="lacks element 100 of a"):
        fill(str(tmp_path), "a1", state(SIZES, {}, 0.0), [pieces[0], *pieces[2:]])
