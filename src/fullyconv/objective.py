"""What training minimizes: cross-entropy and the losses for rare classes and hard pixels, by name. Loads no torch."""

from dataclasses import dataclass

NAMES = ("cross_entropy", "focal", "ohem", "dice", "tversky")


@dataclass(frozen=True)
class Objective:
    """A sum of losses, as ``cross_entropy+dice``; each counts once.

    - ``cross_entropy``: the mean over pixels of −log p, where p is the probability of the pixel's own class.
    - ``focal``: the same with each pixel weighted by (1 − p) to the power of ``focal_gamma`` (Lin et al., ICCV 2017).
    - ``ohem``: the mean of the largest cross-entropies, of a fraction ``ohem_fraction`` of the pixels (at least one).
      Pixels that tie at the limit share what is left of it evenly.
    - ``dice``: 1 − 2 TP / (2 TP + FP + FN), where probabilities are counted over all images of a batch; the mean over
      the classes that its labels hold (Milletari et al., 3DV 2016).
    - ``tversky``: 1 − TP / (TP + α FP + β FN), likewise, with ``tversky`` as (α, β); (0.5, 0.5) is Dice
      (Salehi et al., MLMI 2017).

    Raises ValueError for another name or a value out of range.
    """

    name: str = "cross_entropy"
    focal_gamma: float = 2.0
    ohem_fraction: float = 0.2
    tversky: tuple[float, float] = (0.3, 0.7)

    def __post_init__(self) -> None:
        unknown = [term for term in self.terms if term not in NAMES]
        if unknown or len(set(self.terms)) < len(self.terms):
            raise ValueError(
                f"objective is {self.name!r}; expected one of {', '.join(NAMES)}, or a sum of different ones, as "
                "cross_entropy+dice"
            )
        if not self.focal_gamma >= 0:
            raise ValueError(f"focal_gamma is {self.focal_gamma}; expected 0 or more")
        if not 0 < self.ohem_fraction <= 1:
            raise ValueError(f"ohem_fraction is {self.ohem_fraction}; expected more than 0, at most 1")
        alpha, beta = self.tversky
        if not (alpha >= 0 and beta > 0):
            raise ValueError(
                f"tversky is {list(self.tversky)}; expected the weight of false positives, 0 or more, and of false "
                "negatives, more than 0"
            )

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the summands."""
        return tuple(term.strip().lower().replace("-", "_") for term in self.name.split("+"))

    @property
    def is_cross_entropy(self) -> bool:
        """Whether this is cross-entropy alone."""
        return self.terms == ("cross_entropy",)
