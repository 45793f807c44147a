"""Write data sets whose masks are outlines: COCO, YOLO, CVAT, LabelMe and Label Studio.

Where a format cannot say that pixels have no class, they are written as objects of the class ``void``.
"""

import base64
import io
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote
from xml.sax.saxutils import XMLGenerator, quoteattr
from xml.sax.xmlreader import AttributesImpl

import numpy as np
import yaml
from PIL import Image

from fullyconv.classes import IGNORE
from fullyconv.data.annotations.run_lengths import counts_of
from fullyconv.data.conversion.labelled import VOID, Labelled, Target, copy_image
from fullyconv.data.conversion.outlines import Outline, area, bridged, outlines, pixel_centres
from fullyconv.files import whole_file, write_whole
from fullyconv.palettes import VOC_VOID


def _named(target: Target, labels: np.ndarray) -> Iterator[tuple[str, Outline]]:
    """Yield the outlines of a mask, each with the name of its class."""
    for outline in outlines(labels, target.background, target.tolerance):
        yield VOID if outline.label == IGNORE else target.classes[outline.label], outline


def _names(target: Target) -> list[str]:
    """Return the names of all classes that have outlines."""
    return [name for label, name in enumerate(target.classes) if label != target.background]


def _flat(ring: np.ndarray) -> list[float]:
    return [round(value, 2) for value in ring.ravel().tolist()]


def write_coco(target: Target, images: Iterable[Labelled]) -> None:
    """Write a COCO file for each split, with polygons; areas with holes as run lengths, as polygons cannot have any."""
    names = [*_names(target), VOID]
    files: dict[str, dict[str, list[dict[str, object]]]] = {}
    has_void = False
    for image in images:
        copy_image(image.image, target.folder / "images" / image.split / image.file_name)
        file = files.setdefault(image.split, {"images": [], "annotations": []})
        height, width = image.labels.shape
        number = len(file["images"]) + 1
        file["images"].append({"id": number, "file_name": image.file_name, "width": width, "height": height})
        for name, outline in _named(target, image.labels):
            has_void |= name == VOID
            left, top = outline.rings[0].min(0).tolist()
            right, bottom = outline.rings[0].max(0).tolist()
            covered = area(outline.rings[0]) - sum(map(area, outline.rings[1:]))
            file["annotations"].append(
                {
                    "id": len(file["annotations"]) + 1,
                    "image_id": number,
                    "category_id": names.index(name) + 1,
                    "segmentation": _coco_segmentation(outline, height, width),
                    "area": covered,
                    "bbox": [left, top, right - left, bottom - top],
                    "iscrowd": int(len(outline.rings) > 1),
                }
            )
    named = names if has_void else names[:-1]
    categories = [{"id": index, "name": name, "supercategory": ""} for index, name in enumerate(named, 1)]
    for split, file in files.items():
        content = json.dumps({**file, "categories": categories}, ensure_ascii=False)
        write_whole(target.folder / "annotations" / f"instances_{split}.json", content)


def _coco_segmentation(outline: Outline, height: int, width: int) -> object:
    if len(outline.rings) == 1:
        return [_flat(outline.rings[0][:-1])]
    from rasterio.features import rasterize

    polygon = {"type": "Polygon", "coordinates": [ring.tolist() for ring in outline.rings]}
    inside = rasterize([polygon], (height, width), dtype="uint8")
    return {"size": [height, width], "counts": counts_of(inside.T.ravel())}


def write_yolo(target: Target, images: Iterable[Labelled]) -> None:
    """Write YOLO's text files of polygons and its ``data.yaml``; holes are reached over bridges without width."""
    names, has_void, splits = [*_names(target), VOID], False, dict[str, str]()
    for image in images:
        copy_image(image.image, target.folder / "images" / image.split / image.file_name)
        height, width = image.labels.shape
        lines = []
        for name, outline in _named(target, image.labels):
            has_void |= name == VOID
            places = (bridged(outline.rings) / (width, height)).ravel().tolist()
            lines.append(" ".join([str(names.index(name)), *(f"{place:.10g}" for place in places)]))
        write_whole(
            target.folder / "labels" / image.split / f"{image.name}.txt", "".join(f"{line}\n" for line in lines)
        )
        splits[image.split] = f"images/{image.split}"
    about = {"path": ".", **splits, "names": dict(enumerate(names if has_void else names[:-1]))}
    write_whole(target.folder / "data.yaml", yaml.safe_dump(about, sort_keys=False, allow_unicode=True))


def write_cvat(target: Target, images: Iterable[Labelled]) -> None:
    """Write CVAT's XML for images, with polygons; areas with holes as masks.

    The splits are the subsets of a project, for in a single task's file Datumaro finds no images of a subset.
    """
    colours = dict(zip(target.classes, target.palette, strict=True)) | {VOID: VOC_VOID}
    with whole_file(target.folder / "annotations.xml") as beside, beside.open("w", encoding="utf-8") as file:
        xml = XMLGenerator(file, "utf-8", short_empty_elements=True)
        xml.startDocument()
        _open(xml, "annotations")
        _element(xml, "version", "1.1")
        for tag in ("meta", "project", "labels"):
            _open(xml, tag)
        for name in [*_names(target), VOID]:
            _open(xml, "label")
            _element(xml, "name", name)
            _element(xml, "color", "#{:02x}{:02x}{:02x}".format(*colours[name]))
            _element(xml, "attributes", "")
            xml.endElement("label")
        xml.endElement("labels")
        _element(xml, "subsets", "\n".join(target.splits))
        _open(xml, "tasks")
        for split in target.splits:
            _open(xml, "task")
            _element(xml, "subset", split)
            xml.endElement("task")
        for tag in ("tasks", "project", "meta"):
            xml.endElement(tag)
        for number, image in enumerate(images):
            copy_image(image.image, target.folder / "images" / image.split / image.file_name)
            _write_cvat_image(xml, target, number, image)
        xml.endElement("annotations")
        xml.endDocument()


def _write_cvat_image(xml: XMLGenerator, target: Target, number: int, image: Labelled) -> None:
    height, width = image.labels.shape
    about = {"id": number, "name": f"{image.split}/{image.file_name}", "width": width, "height": height}
    _open(xml, "image", {key: str(value) for key, value in about.items()} | {"subset": image.split})
    for name, outline in _named(target, image.labels):
        common = {"label": name, "source": "auto" if target.predicted else "manual", "occluded": "0", "z_order": "0"}
        if len(outline.rings) == 1:
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in outline.rings[0][:-1].tolist())
            _open(xml, "polygon", common | {"points": points})
            xml.endElement("polygon")
            continue
        left, top, inside = _box(outline, image.labels.shape)
        runs = ", ".join(map(str, counts_of(inside.ravel())))
        place = {"left": left, "top": top, "width": inside.shape[1], "height": inside.shape[0]}
        _open(xml, "mask", common | {"rle": runs} | {k: str(v) for k, v in place.items()})
        xml.endElement("mask")
    xml.endElement("image")


def _open(xml: XMLGenerator, tag: str, about: dict[str, str] | None = None) -> None:
    xml.startElement(tag, AttributesImpl(about or {}))


def _element(xml: XMLGenerator, tag: str, text: str) -> None:
    _open(xml, tag)
    xml.characters(text)
    xml.endElement(tag)


def _box(outline: Outline, size: tuple[int, ...]) -> tuple[int, int, np.ndarray]:
    """Return the column and row of the first pixel of an area's box, and its pixels within the box, bool (h, w)."""
    from rasterio.features import rasterize

    left, top = (int(value) for value in np.floor(outline.rings[0].min(0)))
    right, bottom = (int(value) for value in np.ceil(outline.rings[0].max(0)))
    polygon = {"type": "Polygon", "coordinates": [(ring - (left, top)).tolist() for ring in outline.rings]}
    return left, top, rasterize([polygon], (bottom - top, right - left), dtype="uint8").astype(bool)


def write_labelme(target: Target, images: Iterable[Labelled]) -> None:
    """Write a LabelMe file beside each image, with polygons; areas with holes as masks."""
    for image in images:
        folder = target.folder / image.split
        copy_image(image.image, folder / image.file_name)
        height, width = image.labels.shape
        shapes = [
            _labelme_shape("__ignore__" if name == VOID else name, outline, image, target)
            for name, outline in _named(target, image.labels)
        ]
        about = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": image.file_name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        write_whole(folder / f"{image.name}.json", json.dumps(about, indent=1, ensure_ascii=False))


def _labelme_shape(name: str, outline: Outline, image: Labelled, target: Target) -> dict[str, object]:
    common: dict[str, object] = {"label": name, "group_id": None, "description": "", "flags": {}}
    if len(outline.rings) == 1:
        ring = outline.rings[0][:-1] - 0.5 if target.tolerance else pixel_centres(outline.rings[0])
        if len(ring) >= 3:
            return {**common, "shape_type": "polygon", "points": ring.tolist(), "mask": None}
    left, top, inside = _box(outline, image.labels.shape)
    encoded = io.BytesIO()
    Image.fromarray(inside).save(encoded, format="PNG")
    corner = [left + inside.shape[1] - 1, top + inside.shape[0] - 1]
    mask = base64.b64encode(encoded.getvalue()).decode()
    return {**common, "shape_type": "mask", "points": [[left, top], corner], "mask": mask}


def write_label_studio(target: Target, images: Iterable[Labelled]) -> None:
    """Write Label Studio's tasks with polygons, as predictions where a network made the labels, and its labels' setup.

    Holes are reached over bridges without width.
    """
    tasks = []
    for image in images:
        copy_image(image.image, target.folder / "images" / image.split / image.file_name)
        height, width = image.labels.shape
        result = []
        for number, (name, outline) in enumerate(_named(target, image.labels)):
            places = (bridged(outline.rings) / (width, height) * 100).tolist()
            result.append(
                {
                    "id": f"area{number}",
                    "type": "polygonlabels",
                    "from_name": "label",
                    "to_name": "image",
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "value": {"points": places, "closed": True, "polygonlabels": [name]},
                }
            )
        kind = "predictions" if target.predicted else "annotations"
        path = "/data/local-files/?d=" + quote(f"images/{image.split}/{image.file_name}")
        tasks.append({"data": {"image": path, "split": image.split}, kind: [{"result": result}]})
    write_whole(target.folder / "tasks.json", json.dumps(tasks, ensure_ascii=False))
    colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in target.palette]
    labels = "".join(
        f'    <Label value={quoteattr(name)} background="{colour}"/>\n'
        for label, (name, colour) in enumerate(zip(target.classes, colours, strict=True))
        if label != target.background
    )
    areas = f'  <PolygonLabels name="label" toName="image">\n{labels}  </PolygonLabels>\n'
    view = f'<View>\n  <Image name="image" value="$image"/>\n{areas}</View>\n'
    write_whole(target.folder / "labels.xml", view)
