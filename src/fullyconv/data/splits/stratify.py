"""Divide groups of images so that each class has the same share of its images in every part, rare classes first."""

import hashlib
from collections.abc import Sequence

import numpy as np

MOST_STEPS = 500
MOST_WORK = 300_000_000
"""Multiplications after which the improvement of a division ends; many small groups hardly need any."""
MOST_TO_SWAP = 200
"""Number of groups up to which exchanging two of them is tried, too."""
PLACES = 9
"""Decimal places to which costs are compared, so that machines that add in different orders decide alike."""


def stratify(images: np.ndarray, shares: Sequence[float], names: Sequence[str], seed: int = 0) -> list[int]:
    """Return for each group the index of its part.

    ``images`` is (G, 1 + C) of whole numbers: for each group the number of its images, then of those with each class.
    ``shares`` is the wanted share of each part, with sum 1. ``names`` are the names of the groups, all different.

    This is the iterative stratification of Sechidis, Tsoumakas and Vlahavas (ECML PKDD 2011) with groups in place of
    images: the groups with the rarest class go, one after the other, to the part that lacks it most. Then single groups
    are moved, and few groups also exchanged, as long as more classes come to be in all parts (where they are in as many
    groups as there are parts), or else the numbers of images come closer to the wanted ones. The result depends on
    the names and the seed, not on the order of the groups.
    """
    order = sorted(range(len(names)), key=lambda group: _drawn(seed, names[group]))
    counts = np.asarray(images, np.float64)[order]
    wanted = np.asarray(shares, np.float64)
    parts = _distribute(counts, wanted)
    _improve(parts, counts, wanted)
    found = np.empty(len(order), np.int64)
    found[order] = parts
    return [int(part) for part in found]


def _drawn(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{name}".encode(errors="surrogateescape")).digest()


def _distribute(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Give the groups, those of the rarest class first, to the part that lacks most images of this class."""
    parts = np.full(len(counts), -1)
    lacking = shares[:, None] * counts.sum(0)
    while (parts < 0).any():
        left = counts * (parts < 0)[:, None]
        of_class = left[:, 1:].sum(0)
        occurring = np.flatnonzero(of_class)
        column = 1 + int(occurring[np.argmin(of_class[occurring])]) if len(occurring) else 0
        chosen = np.flatnonzero(left[:, column])
        for group in chosen[np.argsort(-left[chosen, column], kind="stable")]:
            rounded = np.round(lacking[:, [column, 0]], PLACES)
            part = max(range(len(shares)), key=lambda part: (*rounded[part], -part))
            parts[group] = part
            lacking[part] -= counts[group]
    return parts


def _improve(parts: np.ndarray, counts: np.ndarray, shares: np.ndarray) -> None:
    """Move and exchange groups while that lowers the cost; change ``parts`` in place.

    The cost is first the number of classes that are missing in a part, then the sum of (found - wanted)^2 / wanted over
    parts and classes, in which the number of images weighs as much as all classes.
    """
    totals = counts.sum(0)
    weights = np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0)
    weights[0] *= max(1, counts.shape[1] - 1)
    needed = (counts > 0).sum(0) >= len(shares)
    steps = min(MOST_STEPS, 10 + MOST_WORK // (counts.size * len(shares)))
    for _ in range(steps):
        sums = np.stack([counts[parts == part].sum(0) for part in range(len(shares))])
        holders = np.stack([(counts[parts == part] > 0).sum(0) for part in range(len(shares))])
        excess = sums - shares[:, None] * totals
        state = _State(counts, shares, weights, needed, excess, holders, parts)
        group, part, gain = state.best_move()
        other = -1
        if len(counts) <= MOST_TO_SWAP:
            one, two, swap_gain = state.best_swap()
            if swap_gain < gain:
                group, other, part, gain = one, two, int(parts[two]), swap_gain
        if gain >= (0, 0.0):
            return
        if other >= 0:
            parts[other] = parts[group]
        parts[group] = part


class _State:
    """A division, and what changes of it would cost: missing classes, then deviations."""

    def __init__(
        self,
        counts: np.ndarray,
        shares: np.ndarray,
        weights: np.ndarray,
        needed: np.ndarray,
        excess: np.ndarray,
        holders: np.ndarray,
        parts: np.ndarray,
    ) -> None:
        self.counts, self.shares, self.weights, self.parts = counts, shares, weights, parts
        self.excess, self.holders = excess, holders
        self.has = (counts > 0) & needed
        self.missing = (holders == 0) & needed

    def best_move(self) -> tuple[int, int, tuple[int, float]]:
        """Return the group and the part of the move that costs least, and its cost, (0, 0) for no move."""
        groups = np.arange(len(self.counts))
        weighted = self.counts * self.weights
        along = 2 * weighted @ self.excess.T
        square = (weighted * self.counts).sum(1)[:, None]
        cost = (along + square) / self.shares
        cost += ((square - along) / self.shares)[groups, self.parts][:, None]
        lost = (self.has & (self.holders[self.parts] == 1)).sum(1)
        absent = lost[:, None] - self.has.astype(np.int64) @ self.missing.T.astype(np.int64)
        cost[groups, self.parts] = absent[groups, self.parts] = 0
        place, gain = _least(absent, cost)
        return place // len(self.shares), place % len(self.shares), gain

    def best_swap(self) -> tuple[int, int, tuple[int, float]]:
        """Return the two groups whose exchange costs least, and its cost, (0, 0) for no exchange."""
        best = (0, 0, (0, 0.0))
        for group in range(len(self.counts)):
            others = np.flatnonzero(self.parts[group + 1 :] != self.parts[group]) + group + 1
            if not len(others):
                continue
            own, theirs = self.parts[group], self.parts[others]
            change = self.counts[group] - self.counts[others]
            cost = (self.weights * (2 * self.excess[theirs] * change + change**2)).sum(1) / self.shares[theirs]
            cost += (self.weights * (-2 * self.excess[own] * change + change**2)).sum(1) / self.shares[own]
            step = self.has[group].astype(np.int64) - self.has[others]
            absent = (self.holders[theirs] + step == 0).sum(1) + (self.holders[own] - step == 0).sum(1)
            absent -= (self.holders[theirs] == 0).sum(1) + (self.holders[own] == 0).sum()
            place, gain = _least(absent, cost)
            if gain < best[2]:
                best = (group, int(others[place]), gain)
        return best


def _least(absent: np.ndarray, cost: np.ndarray) -> tuple[int, tuple[int, float]]:
    """Return the flat index of the least of (absent, cost), the first if there are several, and its value."""
    fewest = int(absent.min())
    rounded = np.where(absent == fewest, np.round(cost, PLACES), np.inf).ravel()
    place = int(np.argmin(rounded))
    return place, (fewest, float(rounded[place]))
