"""The mask of one image, drawn from its annotation when it is first needed, and kept as a file."""

import atexit
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from PIL import Image, PngImagePlugin
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from fullyconv.classes import IGNORE
from fullyconv.data.annotations.annotated import AnnotatedImage
from fullyconv.data.annotations.painter import Order, Painted, paint
from fullyconv.data.annotations.stamps import Rule, Size
from fullyconv.data.images.pictures import upright_size_of_picture
from fullyconv.data.images.read import find_decoder, open_source
from fullyconv.errors import DataError, first_line
from fullyconv.files import whole_file
from fullyconv.palettes import Colour, table

FOLDER, _TEMPORARY = ".fullyconv-masks", "fullyconv-masks-"
_KEY = "fullyconv"
MAX_PIXELS = (1 << 29) - 1
"""Most pixels of an image whose mask is drawn: painting takes a few bytes for each, and pycocotools reserves no memory
for longer runs."""


UNDOUBTED = 1 << 24
"""Pixels of an image up to which the annotation's word on its size is taken; a larger mask would take much memory."""
_OWN = re.compile(r"[0-9a-f]{24}\.png")


class Drawn(BaseModel):
    """What is to be known of a mask that was drawn. It is kept within the mask's file."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    pixels: int
    contested: int
    """The pixels at which shapes of different classes lie on each other."""
    outside: int
    """The shapes that lie beside the image."""
    empty: int
    """The shapes that lie in the image and cover none of its pixels."""
    faults: list[str]
    """Why shapes could not be drawn, a line for each."""


_DRAWN = TypeAdapter(Drawn)


@dataclass(frozen=True)
class Style:
    """How the masks of a data set are drawn."""

    rule: Rule
    order: Order
    background: int
    """The label of pixels that no shape covers: of a class, or IGNORE."""
    crowd_is_void: bool
    """Whether the pixels of shapes that stand for many objects have no class."""
    palette: tuple[Colour, ...]


@dataclass(frozen=True, eq=False)
class Drawing:
    """How the mask of one image is drawn, and where it is kept.

    ``mask`` is the mask's file. Its name changes with what it is drawn from, so that a file that is there is right.
    """

    annotated: AnnotatedImage
    style: Style
    mask: Path

    def draw(self) -> Drawn:
        """Draw the mask unless it is there, and return what is to be known of it. Raises DataError."""
        try:
            with Image.open(self.mask) as kept:
                return _DRAWN.validate_json(kept.info.get(_KEY, ""))
        except (OSError, ValueError, ValidationError):  # not there, or not ours
            pass
        size = self.annotated.size or upright_size(self.annotated.image)
        height, width = size
        if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
            raise DataError(
                f"{self.annotated.source}: says that {self.annotated.image.name} has {width}x{height} pixels; masks of "
                f"1 to {MAX_PIXELS:,} pixels are drawn"
            )
        if height * width > UNDOUBTED and (found := upright_size(self.annotated.image)) != size:
            raise DataError(
                f"{self.annotated.source}: says that {self.annotated.image.name} has {width}x{height} pixels; it has "
                f"{found[1]}x{found[0]}"
            )
        shapes = self.annotated.shapes(size)
        if self.style.crowd_is_void:
            shapes = [replace(shape, label=IGNORE) if shape.crowd else shape for shape in shapes]
        painted = paint(shapes, size, self.style.rule, self.style.order, self.style.background)
        drawn = Drawn(
            pixels=height * width,
            contested=painted.contested,
            outside=painted.outside,
            empty=painted.empty,
            faults=painted.faults,
        )
        self._keep(painted, drawn)
        return drawn

    def ensure(self) -> None:
        """Draw the mask unless it is there. Raises DataError."""
        if not self.mask.exists():
            self.draw()

    def _keep(self, painted: Painted, drawn: Drawn) -> None:
        about = PngImagePlugin.PngInfo()
        about.add_text(_KEY, drawn.model_dump_json())
        picture = Image.fromarray(painted.labels)
        picture.putpalette(table(self.style.palette).tobytes())
        refuse_links(self.mask)
        try:
            with whole_file(self.mask) as beside:
                picture.save(beside, format="PNG", compress_level=1, pnginfo=about)
        except OSError as error:
            raise DataError(f"{self.mask}: the drawn mask cannot be written: {first_line(error)}") from error
        for older in self.mask.parent.glob("*.png"):  # drawn from what the annotation was before
            if older != self.mask and _OWN.fullmatch(older.name):
                older.unlink(missing_ok=True)


def folder_of_masks(root: Path) -> Path:
    """Return the folder in a data set for its drawn masks; a temporary one if the data set's cannot be written to.

    A link, which may lead anywhere, is not written to.
    """
    folder = root / FOLDER
    if folder.is_symlink():
        return _temporary_folder(root)
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return _temporary_folder(root)


def refuse_links(path: Path) -> None:
    """Raise DataError if a folder between the folder of drawn masks and a file in it is a link, as a stranger's."""
    for folder in path.parents:
        if folder.is_symlink():
            raise DataError(f"{folder}: is a link, where a folder of drawn masks is expected; remove it")
        if folder.name.startswith((FOLDER, _TEMPORARY)):
            return


@cache
def _temporary_folder(root: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def upright_size(image: Path) -> Size:
    """Return the height and width of an image as it is shown, turned as EXIF says. Raises DataError."""
    if find_decoder(image) == "picture":
        return upright_size_of_picture(image)
    with open_source(image) as source:
        return source.size
