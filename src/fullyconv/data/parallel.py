"""Read many files in parallel, on as many threads as this process may use cores."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from fullyconv.resources import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""A function that is called with the number of items done and their total."""

MOST_THREADS = 16
"""Each thread holds one decoded image in memory, and more threads would only wait for Python's lock."""


def in_parallel(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    progress: Progress | None = None,
    threads: int | None = None,
) -> Generator[Result, None, None]:
    """Yield ``function(item)`` for every item, in order, computed on several threads.

    Threads help because decoding an image releases Python's lock. Their number is ``count_threads()`` if ``threads`` is
    None. At most twice as many results as threads wait to be taken. The first error is raised, and no further item is
    begun.
    """
    threads = threads or count_threads()
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        begun = iter(items)
        for item in begun:
            waiting.append(pool.submit(function, item))
            if len(waiting) == 2 * threads:
                break
        for done in range(1, len(items) + 1):
            result = waiting.popleft().result()
            for item in begun:
                waiting.append(pool.submit(function, item))
                break
            if progress is not None:
                progress(done, len(items))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def count_threads() -> int:
    """Return how many threads decode images: one per core that this process may use, at most ``MOST_THREADS``."""
    return min(usable_cores(), MOST_THREADS)
