"""A cache that holds no more bytes than it may."""

from data.bounded_cache import BoundedCache


def test_the_cache_stays_within_its_bytes():
    cache: BoundedCache[int] = BoundedCache(10)
    made = []

    def make(key):
        made.append(key)
        return key, 4

    for key in (1, 2, 1, 3, 1, 2):
        assert cache.get(key, lambda key=key: make(key)) == key
    assert made == [1, 2, 3, 2]  # 2 was the least recently used when 3 came
    assert cache.bytes == 8


def test_a_value_larger_than_the_cache_is_kept_until_the_next():
    cache: BoundedCache[str] = BoundedCache(1)
    for key in "ab":
        assert cache.get(key, lambda key=key: (key, 5)) == key
    assert len(cache) == 1
