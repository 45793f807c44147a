"""A data set in whatever layout: which files there are, and what their values mean."""

from dataclasses import dataclass, field
from pathlib import Path

from fullyconv.channels import Inputs
from fullyconv.data.masks import MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.errors import ConfigError, DataError
from fullyconv.palettes import Colour


@dataclass(frozen=True)
class Data:
    """A data set: which files there are and what their values mean. ``open_data`` returns one."""

    root: Path
    layout: str
    classes: list[str]
    palette: list[Colour]
    """A colour for each class."""
    mask_code: MaskCode
    """How mask files become labels."""
    splits: dict[str, list[Pair]]
    unmatched_masks: list[Path] = field(default_factory=list)
    """Masks without an image."""
    heads: dict[str, int] | None = None
    """The names and numbers of classes of the labelings, where each image has several.

    ``classes`` and ``palette`` then list the classes of all of them, one labeling after the other; labels count from 0
    in each."""
    more_codes: tuple[MaskCode, ...] = ()
    """How the masks of the second and further labelings become labels."""
    inputs: Inputs = "image"
    """What the channels of an image are."""
    channels: int | None = None
    """The number of channels, where other files add to the image's (4 with depth, 6 with HHA); None: any number."""
    published: bool = False
    """Whether this is a published data set: its authors define the classes, whether they occur or not."""
    absent_excluded: bool = False
    """Whether the data set's authors leave classes without a pixel in the evaluated split out of the means."""

    @property
    def ignore_index(self) -> int | None:
        """The value of void pixels in the mask files; in memory it is always IGNORE."""
        return self.mask_code.ignore_index

    @property
    def codes(self) -> tuple[MaskCode, ...]:
        """How the masks of each labeling become labels."""
        return (self.mask_code, *self.more_codes)

    @property
    def head_sizes(self) -> list[int]:
        """The number of classes in each labeling; they add up to the length of ``classes``."""
        return list(self.heads.values()) if self.heads else [len(self.classes)]

    def split(self, name: str) -> list[Pair]:
        """Return the pairs of one split. Raises DataError if there is no such split."""
        if name not in self.splits:
            raise DataError(f"{self.root}: has no split {name!r}; its splits are {', '.join(self.splits)}")
        return self.splits[name]

    def require_channels(self, wanted: int) -> None:
        """Raise ConfigError if these images cannot be given to a network that takes ``wanted`` channels."""
        if self.channels not in (None, wanted):
            raise ConfigError(
                f"the images of {self.root} have {self.channels} channels in layout {self.layout}; the network takes "
                f"{wanted}. Set model.in_channels to {self.channels}, or choose another data.layout"
            )

    def name(self, path: Path) -> str:
        """Return a file's path within the data set, for messages."""
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)
