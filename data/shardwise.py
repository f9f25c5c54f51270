"""One function over all shards of a manifest."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from data.storage import Manifest, Shard

T = TypeVar("T")


def map_shards(function: Callable[[str, Shard], T], folder: str, manifest: Manifest, workers: int) -> Iterator[T]:
    """The results in the order of the shards."""
    for shard in manifest.shards:
        yield function(folder, shard)
