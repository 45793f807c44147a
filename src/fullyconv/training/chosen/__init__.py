"""Settings of a run that nobody gave, chosen by its data, its length and this machine."""

from collections.abc import Callable, Collection

from fullyconv.data.catalog import Data
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.hardware import best_device
from fullyconv.training import precision
from fullyconv.training.chosen.facts import facts_of
from fullyconv.training.chosen.settings import Machine, choose
from fullyconv.training.config import Config
from fullyconv.training.stages import new_network


def with_chosen_settings(
    data: Data, config: Config, given: Collection[str], say: Callable[[str], None] | None = None
) -> Config:
    """Return the configuration with settings that fit ``data``, but for those that were ``given``, by dotted keys.

    ``say`` is told what was chosen and why. Raises DataError if images or masks cannot be read, and the errors of a
    network that cannot be built.
    """

    def seconds(config: Config) -> float:
        net = new_network(data, config, lambda _: None, untrained=True)
        dataset = SegmentationDataset(data, "train", channels=net.in_channels, value_range=net.value_range)
        return precision.seconds_a_step(net, dataset, config)

    machine = Machine(best_device().type == "cpu", seconds)
    return choose(config, given, facts_of(data), machine, say or (lambda _: None))
