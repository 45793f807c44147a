"""Small valid data sets of every annotation format, with all kinds of shapes; each in a folder of its own."""

import base64
import io
import json
import zlib
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from pycocotools import mask as coco

WIDTH, HEIGHT = 24, 20
OUTSIDE = "outside"
"""A folder beside that of the valid files; nothing may lead to its files."""
SQUARE = [2.0, 3.0, 12.0, 3.0, 12.0, 11.0, 2.0, 11.0]
TRIANGLE = [5.0, 5.0, 21.5, 8.25, 9.0, 18.0]


def make_annotations(folder: Path) -> None:
    """Write the data sets below ``folder``, as FORMAT/VARIANT, and files outside that annotations may name."""
    _coco(folder / "coco")
    _panoptic(folder / "panoptic" / "plain")
    _labelme(folder / "labelme" / "plain")
    _cvat(folder / "cvat")
    _label_studio(folder / "label-studio" / "plain")
    _yolo(folder / "yolo")
    _classes(folder / "classes")
    _described(folder / "described")
    outside = folder.parents[1] / OUTSIDE
    _photos(outside, "a.png", "frame_000000.png", "frame_000001.png")
    (outside / "a.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    (outside / "a.json").write_text("{}")


def _photos(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        pixels = np.random.default_rng(zlib.crc32(name.encode())).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)


def _json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _area() -> np.ndarray:
    return (np.indices((HEIGHT, WIDTH)).sum(0) % 7 < 3).astype(np.uint8)


def png_in_base64(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def _coco(folder: Path) -> None:
    packed = coco.encode(np.asfortranarray(_area()))["counts"].decode()
    runs = [int(number) for number in [50, 30, HEIGHT * WIDTH - 80]]
    outlines = [
        [SQUARE],
        [SQUARE, TRIANGLE],
        SQUARE,
        {"size": [HEIGHT, WIDTH], "counts": packed},
        {"size": [HEIGHT, WIDTH], "counts": runs},
        None,
        [],
    ]
    for variant in ("plain", "roboflow"):
        for split in ("train", "valid"):
            names = [f"{split}{letter}.png" for letter in "ab"]
            images = [{"id": i, "file_name": n, "width": WIDTH, "height": HEIGHT} for i, n in enumerate(names)]
            categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "road", "supercategory": "ground"}]
            annotations = [
                {"id": i, "image_id": i % 2, "category_id": 1 + i % 2, "segmentation": own, "iscrowd": i % 3 // 2}
                for i, own in enumerate(outlines)
            ]
            tree = {"images": images, "categories": categories, "annotations": annotations, "info": {}}
            if variant == "plain":
                _photos(folder / variant / "images" / split, *names)
                _json(folder / variant / f"instances_{split}.json", tree)
            else:
                _photos(folder / variant / split, *names)
                _json(folder / variant / split / "_annotations.coco.json", tree)


def _panoptic(folder: Path) -> None:
    for split in ("train", "val"):
        _photos(folder / "images", f"{split}a.png")
        number = np.array([3, 300, 70_000])[_area() + (np.indices((HEIGHT, WIDTH))[0] > 12)]
        colours = np.stack([number & 255, number >> 8 & 255, number >> 16], -1).astype(np.uint8)
        (folder / f"panoptic_{split}").mkdir(parents=True)
        Image.fromarray(colours).save(folder / f"panoptic_{split}" / f"{split}a.png")
        segments = [{"id": n, "category_id": 1 + i % 2, "iscrowd": 0} for i, n in enumerate((3, 300, 70_000))]
        tree = {
            "images": [{"id": 7, "file_name": f"{split}a.png", "width": WIDTH, "height": HEIGHT}],
            "categories": [{"id": 1, "name": "car", "color": [1, 2, 3]}, {"id": 2, "name": "road", "color": [9, 8, 7]}],
            "annotations": [{"image_id": 7, "file_name": f"{split}a.png", "segments_info": segments}],
        }
        _json(folder / f"panoptic_{split}.json", tree)


def _labelme(folder: Path) -> None:
    points = {
        "polygon": [[2, 3], [12, 3], [12, 11]],
        "rectangle": [[1, 1], [9.5, 8]],
        "circle": [[10, 10], [14, 10]],
        "line": [[0, 0], [20, 15]],
        "linestrip": [[0, 0], [20, 15], [3, 18]],
        "point": [[5, 5]],
        "oriented_rectangle": [[2, 2], [8, 4], [7, 9], [1, 7]],
    }
    shapes = [{"label": kind[:4], "points": own, "shape_type": kind} for kind, own in points.items()]
    inside = _area()[:5, :6] * np.uint8(255)
    shapes.append(
        {"label": "mask", "points": [[2, 3], [7, 7]], "shape_type": "mask", "mask": png_in_base64(inside > 0)}
    )
    for name in ("a", "b", "held"):
        size = {} if name == "b" else {"imageHeight": HEIGHT, "imageWidth": WIDTH}
        held = png_in_base64(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)) if name == "held" else None
        _json(folder / f"{name}.json", {"imagePath": f"{name}.png", "imageData": held, "shapes": shapes, **size})
    _photos(folder, "a.png", "b.png")


def _cvat(folder: Path) -> None:
    _photos(folder / "images" / "images", "a.png", "b.png")
    _photos(folder / "video" / "images", *(f"frame_{frame:06}.png" for frame in range(4)))
    box = 'label="car" xtl="2.00" ytl="3.00" xbr="12.00" ybr="8.00"'
    shapes = (
        f'<box {box} z_order="1"/><box {box} rotation="30.00" z_order="0"></box>'
        '<polygon label="road" points="1,1;12.5,2;9,17" z_order="0"/>'
        '<mask label="car" rle="3, 4, 5" left="2" top="3" width="4" height="3" z_order="2"/>'
        '<ellipse label="car" cx="9.00" cy="9.00" rx="5.00" ry="3.00" rotation="10.0" z_order="0"/>'
        '<polyline label="road" points="1,1;5,5" z_order="0"/><points label="car" points="1,1" z_order="0"/>'
        '<skeleton label="car" z_order="0"><points label="car" points="2,2"/></skeleton><tag label="car"/>'
    )
    label = "<label><name>{}</name><color>{}</color><type>any</type><attributes/></label>"
    labels = f"<labels>{label.format('car', '#ff6037')}{label.format('road', '#0000ff')}</labels>"
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    images = "".join(f'<image id="{i}" name="{n}.png" subset="" {size}>{shapes}</image>' for i, n in enumerate("ab"))
    frames = "".join(f'<box frame="{i}" outside="{i // 3}" keyframe="1" {box[12:]} z_order="0"/>' for i in (0, 1, 3))
    video = f'<track id="0" label="car" source="manual">{frames}</track>'
    first = f"<task><id>5</id><mode>annotation</mode>{labels}</task>"
    about = f"<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size>"
    numbers = "<start_frame>0</start_frame><stop_frame>3</stop_frame><frame_filter>step=1</frame_filter>"
    second = f"<task><id>6</id><mode>interpolation</mode>{numbers}{labels}{about}</task>"
    for variant, meta, content in (("images", first, images), ("video", second, video)):
        text = (
            f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta>{meta}</meta>{content}'
        )
        (folder / variant / "annotations.xml").write_text(f"{text}</annotations>\n")


def _label_studio(folder: Path) -> None:
    def result(kind: str, place: int, value: dict[str, object]) -> dict[str, object]:
        value = {**value, f"{kind}labels": ["car" if place % 2 else "road"]}
        size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
        return {"id": f"r{place}", "type": f"{kind}labels", "value": value, **size}

    values = [
        ("polygon", {"points": [[5, 5], [60, 10], [30.5, 90]], "closed": True}),
        ("rectangle", {"x": 10, "y": 10, "width": 40, "height": 30.5, "rotation": 0}),
        ("rectangle", {"x": 50, "y": 10, "width": 40, "height": 30.5, "rotation": 30}),
        ("ellipse", {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 15}),
        ("brush", {"format": "rle", "rle": _brush(_area() * 255)}),
        ("keypoint", {"x": 5, "y": 5, "width": 1}),
    ]
    results = [result(kind, place, value) for place, (kind, value) in enumerate(values)]
    names = ["/data/upload/1/0123abcd-a.png", "/data/local-files/?d=set/b.png", "s3://bucket/set/c.png"]
    tasks = [
        {
            "id": place,
            "data": {"image": name},
            "annotations": [{"result": results[place:], "created_at": "2024-01-01", "ground_truth": False}],
            "predictions": [],
        }
        for place, name in enumerate(names)
    ]
    _json(folder / "export.json", tasks)
    _photos(folder / "images", "a.png", "b.png", "c.png")


def _brush(area: np.ndarray) -> list[int]:
    """Pack the RGBA image of an area as one piece without runs: its length in 32 bits, then each byte as it is."""
    values = np.repeat(area.astype(np.uint8).ravel(), 4)
    bits = [f"{values.size:032b}", f"{7:05b}", *[f"{size:04b}" for size in (15, 15, 15, 15)], "0", "00"]
    bits += [f"{values.size - 1:016b}", *(f"{value:08b}" for value in values.tolist())]
    joined = "".join(bits)
    joined += "0" * (-len(joined) % 8)
    return [int(joined[at : at + 8], 2) for at in range(0, len(joined), 8)]


def _yolo(folder: Path) -> None:
    for variant in ("folders", "lists"):
        for split in ("train", "val"):
            _photos(folder / variant / "images" / split, f"{split}a.png", f"{split}b.png")
            for letter in "ab":
                rows = folder / variant / "labels" / split / f"{split}{letter}.txt"
                rows.parent.mkdir(parents=True, exist_ok=True)
                rows.write_text("0 0.1 0.1 0.5 0.1 0.5 0.6\n1 0.2 0.2 0.9 0.3 0.8 0.8 0.1 0.95\n1 0.5 0.5 0.1 0.1\n")
            listed = "".join(f"./images/{split}/{split}{letter}.png\n" for letter in "ab")
            (folder / variant / f"{split}.txt").write_text(listed)
        places = {split: f"images/{split}" if variant == "folders" else f"{split}.txt" for split in ("train", "val")}
        tree = {"path": ".", **places, "nc": 2, "names": ["car", "road"]}
        (folder / variant / "data.yaml").write_text(yaml.safe_dump(tree))


def _classes(folder: Path) -> None:
    mask = _area() + _area()[::-1]  # 0 to 2
    for split in ("train", "valid"):
        _photos(folder / "roboflow" / split, f"{split}a.png", f"{split}b.png")
        for letter in "ab":
            Image.fromarray(mask).save(folder / "roboflow" / split / f"{split}{letter}_mask.png")
        (folder / "roboflow" / split / "_classes.csv").write_text(
            "Pixel Value, Class\n0, background\n1, car\n2, road\n"
        )
    palette = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    for variant in ("labelmap", "names"):
        place = folder / variant
        _photos(place / "JPEGImages", "a.png", "b.png")
        (place / "SegmentationClass").mkdir()
        for letter in "ab":
            picture = Image.fromarray(mask)
            picture.putpalette([channel for colour in palette for channel in colour])
            picture.save(place / "SegmentationClass" / f"{letter}.png")
        (place / "ImageSets" / "Segmentation").mkdir(parents=True)
        (place / "ImageSets" / "Segmentation" / "train.txt").write_text("a\n")
        (place / "ImageSets" / "Segmentation" / "val.txt").write_text("b\n")
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::", "car:128,0,0::", "road:0,128,0::"]
    (folder / "labelmap" / "labelmap.txt").write_text("\n".join(lines) + "\n")
    (folder / "names" / "class_names.txt").write_text("__ignore__\n_background_\ncar\nroad\n")


def _described(folder: Path) -> None:
    _coco(folder / "plain" / "coco")
    how = {"path": "coco/plain", "rasterize": "centre", "order": "file", "crowd": "void", "background": "class"}
    tree = {"annotations": how, "split": {"by": "([ab])\\.png"}}
    (folder / "plain" / "dataset.yaml").write_text(yaml.safe_dump(tree))
    splits = {}
    for split in ("train", "val"):
        _photos(folder / "splits" / "images", f"{split}a.png", f"{split}b.png")
        for kind, ending in (("masks", "_mask"), ("area", "")):
            (folder / "splits" / kind).mkdir(exist_ok=True)
            for letter in "ab":
                Image.fromarray(_area()).save(folder / "splits" / kind / f"{split}{letter}{ending}.png")
        (folder / "splits" / f"{split}.txt").write_text(f"{split}a\n{split}b\n")
        splits[split] = {"images": "images", "masks": "masks/*_mask.png", "list": f"{split}.txt", "valid": "area"}
    tree = {"classes": ["ground", "car"], "splits": splits, "void": [255], "palette": [[0, 0, 0], [9, 9, 9]]}
    (folder / "splits" / "dataset.yaml").write_text(yaml.safe_dump(tree))
