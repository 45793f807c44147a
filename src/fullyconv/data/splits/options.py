"""The options of ``fullyconv data split``."""

from dataclasses import dataclass

from fullyconv.errors import ConfigError


@dataclass(frozen=True)
class Options:
    """How images are divided.

    - ``group``: what keeps images together: ``folder`` or a regular expression (see ``source_of``); None: what the
      layout knows, if there is no ``block``.
    - ``block``: the side, in metres, of the squares whose georeferenced images stay together.
    - ``time``: ``exif``, or a regular expression (see ``times_of``): the first images are train, then val, then test.
    - ``val`` and ``test``: the shares of these splits. With folds, val is the first fold.
    - ``folds``: the number of folds of the images that are not in test; None: no folds.
    - ``seed``: another seed gives another division of the same kind.
    """

    group: str | None = None
    block: float | None = None
    time: str | None = None
    val: float = 0.1
    test: float = 0.1
    folds: int | None = None
    seed: int = 0

    @classmethod
    def given(
        cls,
        *,
        group: str | None = None,
        block: float | None = None,
        time: str | None = None,
        val: float | None = None,
        test: float = 0.1,
        folds: int | None = None,
        seed: int = 0,
    ) -> "Options":
        """Return the options as they are given to the command. Raises ConfigError for a combination that contradicts.

        With folds the share of val follows.
        """
        if folds is not None and val is not None:
            raise ConfigError("--val and --folds contradict: with folds, each of them is val once. Leave out --val")
        return cls(group, block, time, 0.1 if val is None else val, test, folds, seed)

    def __post_init__(self) -> None:
        """Raise ConfigError for values that are impossible."""
        for name, share in (("val", self.val), ("test", self.test)):
            if not 0 <= share < 1:
                raise ConfigError(f"--{name} {share:g}: expected a share of the images, from 0 to below 1, such as 0.1")
        if self.val + self.test >= 1:
            raise ConfigError(f"--val {self.val:g} and --test {self.test:g} leave no images to train on")
        if self.folds is not None and self.folds < 2:
            raise ConfigError(f"--folds {self.folds}: expected at least 2")
        if self.folds is not None and self.time is not None:
            raise ConfigError(
                "--time and --folds contradict: of folds, some train on later images than they validate on"
            )
        if self.block is not None and not 0 < self.block < float("inf"):
            raise ConfigError(f"--block {self.block:g}: expected the side of a square in metres, such as 1000")
