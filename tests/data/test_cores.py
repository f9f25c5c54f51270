import threadpoolctl

from data.cores import one_blas_thread, usable_cores


def blas_threads():
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]


def test_the_cores_are_those_of_the_process_and_fewer_where_asked(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    every = usable_cores()
    assert every >= 1
    for asked, cores in [("1", 1), ("64", every), ("", every), ("two", every), ("0", 1)]:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert usable_cores() == cores


def test_products_use_one_thread_inside_and_as_many_as_before_after():
    before = blas_threads()
    assert before
    with one_blas_thread():
        assert set(blas_threads()) == {1}
    assert blas_threads() == before
