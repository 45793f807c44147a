"""A data set in any layout: its files, and what their values mean."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fullyconv.channels import Inputs, in_words
from fullyconv.classes import FOREGROUND, printable
from fullyconv.data.mask_codes import MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.errors import ConfigError, DataError
from fullyconv.palettes import Colour


@dataclass(frozen=True)
class Data:
    """A data set: its files, and what their values mean. ``open_data`` returns one."""

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
    """The name of each labeling and its number of classes; None if images have only one labeling.

    ``classes`` and ``palette`` list the classes of all labelings, one after the other; labels count from 0 in each."""
    more_codes: tuple[MaskCode, ...] = ()
    """How the masks of the second and further labelings become labels."""
    inputs: Inputs = "image"
    """What the channels of an image are."""
    channels: int | None = None
    """The number of channels if other files add some to the image (4 with depth, 6 with HHA); None: any number."""
    published: bool = False
    """Whether this is a published data set, whose authors define the classes, occurring or not."""
    absent_excluded: bool = False
    """Whether classes without a pixel in the evaluated split are left out of the means, as the authors do."""
    notes: list[str] = field(default_factory=list)
    """What was decided without being specified, one line each."""

    divided: bool = False
    """Whether this tool divided the images into the splits."""
    inferred: bool = False
    """Whether the classes were inferred from the masks."""

    def __post_init__(self) -> None:
        """Raise DataError if the name of a split has unprintable characters."""
        for name in self.splits:
            try:
                printable(name)
            except ValueError as error:
                raise DataError(f"{self.root}: the name of a split is not allowed: {error}") from error

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
        """Raise ConfigError if the images do not fit a network that takes ``wanted`` channels."""
        if self.channels not in (None, wanted):
            raise ConfigError(
                f"the images of {self.root} have {self.channels} channels in layout {self.layout}; the network takes "
                f"{wanted}. Set model.in_channels to {self.channels}, or choose another data.layout"
            )

    def require_inputs(self, wanted: Inputs) -> None:
        """Raise ConfigError if the channels of the images are known to differ from those that a network takes."""
        if wanted != self.inputs and (self.published or self.inputs != "image"):
            raise ConfigError(
                f"the images of {self.root} are {in_words(self.inputs)} in layout {self.layout}; the network takes "
                f"{in_words(wanted)}. Choose another layout (--layout), or the network that was trained on this one"
            )

    def with_classes(self, classes: Sequence[str], palette: Sequence[Colour]) -> "Data":
        """Return the data with these classes, such as those of a network, if their own were only inferred from masks.

        Masks that show only some of the classes are then read correctly: values keep their meaning, and colours get it
        from ``palette``. Data whose classes were specified, or that have more classes, are returned unchanged. Raises
        DataError if masks have colours that are not in the palette.
        """
        if not self.inferred or len(self.classes) > len(classes):
            return self
        code = replace(self.mask_code, classes=len(classes))
        if code.by_colour:
            known = {colour: label for label, colour in enumerate(palette)}
            strange = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in (code.colours or {}).keys() - known]
            if strange:
                raise DataError(
                    f"{self.root}: the masks have colours that are not in the palette of the network: "
                    f"{', '.join(sorted(strange))}. Say in a dataset.yaml which class each colour is: `classes` with "
                    f"the network's classes ({', '.join(classes)}) and `palette` with a colour for each"
                )
            code = replace(code, colours=known)
        elif len(self.classes) == 2 < len(classes) and self.classes == FOREGROUND:
            return self  # it is unknown whether 255 is the second class or void
        return replace(self, classes=list(classes), palette=list(palette), mask_code=code)

    def legend(self) -> list[str]:
        """Return what each value and colour in the masks means, as lines such as "0: void · 1: road · 2: tree"."""
        heads, lines, first = self.heads or {"": len(self.classes)}, [], 0
        for (head, count), code in zip(heads.items(), self.codes, strict=True):
            of_head = code.legend(self.classes[first : first + count])
            lines += [f"{head}: {line}" for line in of_head] if head else of_head
            first += count
        return lines

    def name(self, path: Path) -> str:
        """Return a file's path within the data set, for messages."""
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)
