"""Reading many files at once, on as many threads as the machine lets this process use."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from fullyconv.cores import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with the number of items done and the number of all."""

MOST_THREADS = 16
"""Each decodes one image, so that memory follows their number; more of them would wait for Python's lock."""


def in_parallel(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    progress: Progress | None = None,
    threads: int | None = None,
) -> Generator[Result, None, None]:
    """Yield ``function`` of every item, in order, computed on several threads (decoding images releases Python's lock).

    ``threads`` is ``count_threads()`` where it is None. At most twice as many results as there are threads are waiting
    to be taken. The first error is raised, and nothing more is begun.
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
    """How many threads decode images: one for each core that this process may use, at most ``MOST_THREADS``."""
    return min(usable_cores(), MOST_THREADS)
