"""A clear error where a process that loads images is killed."""

from collections.abc import Iterator
from contextlib import contextmanager

from fullyconv.errors import LoaderError, first_line


@contextmanager
def killed_loaders_explained(remedy: str) -> Iterator[None]:
    """Raise LoaderError, ending with ``remedy``, where a process of a torch DataLoader is killed within the block."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):  # torch has no error of its own for it
            raise
        raise LoaderError(
            "A process that loads images was ended from outside, which systems do when memory runs out: "
            f"{first_line(error)} {remedy}"
        ) from None
