"""Recognize image files by their suffix, and write images atomically."""

import io
from pathlib import Path

from PIL import Image

from fullyconv.files import write_whole

READ = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".gif", ".webp", ".avif", ".avifs"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga", ".icb", ".vda", ".vst"),
        *(".tif", ".tiff", ".btf", ".tf8", ".ptif", ".ptiff", ".qptiff", ".svs"),
        *(".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    )
)
"""Suffixes of image files that can be read. The format is then detected from the first bytes of the file."""

NOT_READ = {
    ".heic": "a HEIC photograph; save it as JPEG or PNG",
    ".heif": "a HEIF photograph; save it as JPEG or PNG",
    ".jxl": "a JPEG XL image; save it as PNG",
    ".dng": "a camera's raw file; develop it to TIFF or JPEG",
    ".cr2": "a camera's raw file; develop it to TIFF or JPEG",
    ".cr3": "a camera's raw file; develop it to TIFF or JPEG",
    ".nef": "a camera's raw file; develop it to TIFF or JPEG",
    ".arw": "a camera's raw file; develop it to TIFF or JPEG",
    ".psd": "a Photoshop file; export it as PNG or TIFF",
    ".xcf": "a GIMP file; export it as PNG or TIFF",
    ".exr": "an OpenEXR image; convert it to a TIFF of floats",
    ".dcm": "a DICOM image; convert it to a 16-bit TIFF or PNG",
    ".nii": "a NIfTI volume; write its slices as TIFF or PNG",
    ".nrrd": "an NRRD volume; write its slices as TIFF or PNG",
    ".mha": "a MetaImage volume; write its slices as TIFF or PNG",
    ".czi": "a Zeiss microscope file; export it as TIFF",
    ".nd2": "a Nikon microscope file; export it as TIFF",
    ".lif": "a Leica microscope file; export it as TIFF",
    ".lsm": "a Zeiss microscope file; export it as TIFF",
    ".ndpi": "a Hamamatsu slide; convert it to a tiled TIFF",
    ".mrxs": "a 3DHISTECH slide; convert it to a tiled TIFF",
    ".vrt": "a virtual raster that refers to other files; convert it to a GeoTIFF with gdal_translate",
    ".img": "an ERDAS or raw image; convert it to a GeoTIFF with gdal_translate",
    ".ecw": "an ECW image; convert it to a GeoTIFF with gdal_translate",
    ".sid": "a MrSID image; convert it to a GeoTIFF with gdal_translate",
}
"""Suffixes of images that cannot be read, what they are, and what to do. In a folder they are reported as failed."""

SUFFIXES = READ | NOT_READ.keys()
"""Suffixes of all files that count as images, readable or not."""


def list_images(folder: Path) -> list[Path]:
    """Return the image files in a folder, sorted by name, without hidden ones; empty if the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if is_image_name(path) and not path.name.startswith("."))


def is_image_name(name: str | Path) -> bool:
    """Whether a file with this name is an image, readable or not."""
    path = name if isinstance(name, Path) else Path(name)
    return path.suffix.lower() in SUFFIXES


def write_image(path: Path, picture: Image.Image, **options: int | str) -> None:
    """Write an image to ``path`` (.png or .jpg) whole or not at all. ``options`` are passed to Pillow.

    The image is encoded in memory first, because Pillow raises no error if the disk is full while it writes a JPEG.
    """
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG" if path.suffix.lower() == ".png" else "JPEG", **options)
    write_whole(path, encoded.getvalue())
