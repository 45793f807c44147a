"""The end of a run whose mean IoU on val no longer rises."""

import lightning

from fullyconv.training.save_best import MEASURED, Rows, SaveBest


class EarlyStopping(lightning.Callback):
    """End the run after ``patience`` validations without a better mean IoU.

    Only the rows of metrics.csv are judged, which a checkpoint holds: a resumed run ends at the step at which it would
    have ended without the interruption.
    """

    def __init__(self, saved: SaveBest, patience: int | None):
        self.saved, self.patience = saved, patience

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.strategy.broadcast(has_stalled(self.saved.rows, self.patience)):
            trainer.should_stop = True


def has_stalled(rows: Rows, patience: int | None) -> bool:
    """Return whether the last ``patience`` validations in ``rows`` measured no better mean IoU than one before them.

    Rows without a validation do not count; ``patience`` None is endless.
    """
    measured = _validations(rows)
    return patience is not None and bool(measured) and _since_best(measured) >= patience


def describe_stall(rows: Rows) -> str:
    """Say how long the mean IoU has not risen: a clause, for rows that have stalled."""
    measured = _validations(rows)
    since = _since_best(measured)
    best = measured[-1 - since]
    return (
        f"the mean IoU on val has not risen above {best[MEASURED]:.3f}, that of step {best['step']:.0f}, in "
        f"{since} validation{'s' * (since != 1)} (training.patience)"
    )


def _validations(rows: Rows) -> Rows:
    return [row for row in rows if MEASURED in row]


def _since_best(measured: Rows) -> int:
    """Return the number of validations after the first of those with the best mean IoU."""
    values = [row[MEASURED] for row in measured]
    return len(values) - 1 - values.index(max(values))
