"""Files are read in order, on as many threads as the process may use, without results piling up."""

import threading
import time

import pytest

from fullyconv.data import parallel
from fullyconv.data.parallel import in_parallel


@pytest.mark.parametrize("threads", [1, 3, 50])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_results_come_in_order_with_progress(threads, count):
    steps = []
    results = in_parallel(
        lambda item: item**2, range(count), lambda done, of: steps.append((done, of)), threads=threads
    )
    assert list(results) == [item**2 for item in range(count)]
    assert steps == [(done, count) for done in range(1, count + 1)]


def test_no_more_threads_run_than_asked_for():
    running, most, lock = 0, 0, threading.Lock()

    def count(_):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1

    list(in_parallel(count, range(60), threads=4))
    assert 2 <= most <= 4


def test_results_that_nobody_takes_do_not_pile_up():
    begun = []
    results = in_parallel(begun.append, range(1000), threads=2)
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 5
    results.close()
    assert len(begun) <= 5


def test_the_first_error_is_raised_and_nothing_more_is_begun():
    begun = []

    def fail(item):
        begun.append(item)
        if item == 3:
            raise KeyError(item)

    with pytest.raises(KeyError, match="3"):
        list(in_parallel(fail, range(1000), threads=2))
    assert len(begun) < 20


def test_memory_is_bounded_on_machines_of_many_cores(monkeypatch):
    for cores, threads in ((3, 3), (64, parallel.MOST_THREADS)):
        monkeypatch.setattr(parallel, "usable_cores", lambda cores=cores: cores)
        assert parallel.count_threads() == threads
