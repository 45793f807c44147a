"""CVAT's XML files, against pycocotools in the steps of CVAT's own export of masks."""

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask

from fullyconv.data import check, open_data
from fullyconv.data.annotations.formats.cvat.read import read_cvat
from fullyconv.data.checks.kinds import Kind
from fullyconv.data.pairs import read_pair
from fullyconv.errors import DataError

SIZE = (16, 20)
HUNDREDTHS = st.integers(-300, 2300).map(lambda value: f"{value / 100:.2f}")
POINTS = st.lists(st.tuples(HUNDREDTHS, HUNDREDTHS).map(",".join), min_size=3, max_size=6).map(";".join)
BOX = 'xtl="2.00" ytl="3.00" xbr="12.00" ybr="8.00"'
LABELS = {"car": "#ff6037", "road": "#0000ff"}


def label(name, colour="", more=""):
    return f"<label><name>{name}</name><color>{colour}</color><attributes></attributes>{more}</label>"


def task(number=5, mode="annotation", more="", labels=LABELS):
    listed = "".join(label(name, colour) for name, colour in labels.items())
    return f"<task><id>{number}</id><mode>{mode}</mode>{more}<labels>{listed}</labels></task>"


def cvat(*elements, meta=None):
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        f"  <meta>{task() if meta is None else meta}</meta>\n{''.join(elements)}\n</annotations>\n"
    )


def image(name, *shapes, more=""):
    return f'<image id="0" name="{name}" {more} width="20" height="16">{"".join(shapes)}</image>'


def shape(kind, name="car", z_order=0, **fields):
    written = " ".join(f'{key}="{value}"' for key, value in fields.items())
    return f'<{kind} label="{name}" source="manual" occluded="0" {written} z_order="{z_order}"></{kind}>'


def polygon(points, name="car", z_order=0):
    return shape("polygon", name, z_order, points=points)


def square(first, last, name="car", z_order=0):
    return polygon(f"{first},{first};{last},{first};{last},{last};{first},{last}", name, z_order)


def drawn(points):
    """What pycocotools draws of a polygon's points."""
    flat = [float(value) for pair in points.split(";") for value in pair.split(",")]
    return mask.decode(mask.frPyObjects([flat], *SIZE))[..., 0].astype(bool)


def rotated(left, top, right, bottom, degrees):
    """A turned box as a polygon, as CVAT's export makes it (RotatedBoxesToPolygons)."""
    turn, x, y = np.deg2rad(degrees), (left + right) / 2, (top + bottom) / 2
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    turned = [
        (
            x + np.cos(turn) * (a - x) - np.sin(turn) * (b - y),
            y + np.sin(turn) * (a - x) + np.cos(turn) * (b - y),
        )
        for a, b in corners
    ]
    return ";".join(f"{a:.2f},{b:.2f}" for a, b in turned)


@pytest.fixture
def write(tmp_path):
    def write(content, name="annotations.xml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    return write


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(POINTS, st.sampled_from(["car", "road"]), st.integers(-2, 2)), max_size=4))
def test_polygons_are_what_pycocotools_draws_by_z_order_and_then_as_they_follow(photo, write, labels_of, shapes):
    photo("images/a.png")
    expected = np.zeros(SIZE, np.uint8)
    for points, name, _ in sorted(shapes, key=lambda entry: entry[2]):
        expected[drawn(points)] = {"car": 1, "road": 2}[name]
    data = open_data(write(cvat(image("a.png", *(polygon(*entry) for entry in shapes)))))
    assert data.classes == ["background", "car", "road"]
    assert np.array_equal(labels_of(data)["a.png"], expected)


@pytest.mark.parametrize("degrees", [0, 30, 90, 352.8])
def test_boxes_are_painted_turned_about_their_centre(photo, write, labels_of, degrees):
    photo("a.png")
    turn = {"rotation": f"{degrees:.2f}"} if degrees else {}
    written = f'<box label="road" {BOX} {"".join(f"{k}={v!r}" for k, v in turn.items())} z_order="0"/>'
    labels = labels_of(open_data(write(cvat(image("a.png", written)))))["a.png"]
    assert np.array_equal(labels == 2, drawn(rotated(2, 3, 12, 8, degrees)))


def test_masks_run_along_the_rows_of_their_box(photo, write, labels_of):
    photo("a.png")
    inside = np.array([[1, 0, 0, 1], [0, 1, 1, 1], [0, 0, 0, 1]], bool)
    written = shape("mask", rle="0, 1, 2, 1, 1, 3, 3, 1", left=5, top=9, width=4, height=3)
    labels = labels_of(open_data(write(cvat(image("a.png", written)))))["a.png"]
    expected = np.zeros(SIZE, bool)
    expected[9:12, 5:9] = inside
    assert np.array_equal(labels == 1, expected)


def test_ellipses_are_turned_clockwise(photo, write, labels_of):
    photo("a.png")
    ellipse = {"cx": "10.00", "cy": "8.00", "rx": "7.00", "ry": "1.00", "rotation": "45.00"}
    labels = labels_of(open_data(write(cvat(image("a.png", shape("ellipse", **ellipse))))))["a.png"]
    assert labels[8 + 3, 10 + 3] == 1
    assert labels[8 - 3, 10 + 3] == 0
    assert abs(int(labels.sum()) - np.pi * 7) < 3


def test_a_label_named_background_cuts_a_hole_and_colours_are_the_tools(photo, write, labels_of):
    photo("a.png")
    labels = {"car": "#ff6037", "Background": "#010203", "road": "#0000ff"}
    data = open_data(write(cvat(image("a.png", square(2, 12), square(4, 8, "Background")), meta=task(labels=labels))))
    assert data.classes == ["background", "car", "road"]
    assert data.palette == [(1, 2, 3), (255, 96, 55), (0, 0, 255)]
    assert labels_of(data)["a.png"].sum() == 100 - 16
    other = open_data(write(cvat(image("a.png", square(2, 4, "void")), meta=task(labels=labels | {"void": "#ffffff"}))))
    assert other.palette == data.palette
    assert (labels_of(other)["a.png"] == 255).sum() == 4
    other = open_data(write(cvat(image("a.png"), meta=task(labels=labels | {"car": "#0000ff"}))))
    assert len(set(other.palette)) == 3  # two labels of one colour could not be told apart


def test_labels_of_no_area_are_no_classes_and_files_without_labels_have_those_of_their_shapes(photo, write):
    photo("a.png")
    bone = label("bone", "#000001", "<type>skeleton</type>")
    joint = label("1", "#000002", "<type>points</type><parent>bone</parent>")
    meta = f"<job><id>7</id><labels>{label('car')}{bone}{joint}{label('sunny', more='<type>tag</type>')}</labels></job>"
    assert open_data(write(cvat(image("a.png", square(2, 9)), meta=meta))).classes == ["background", "car"]
    data = open_data(write(cvat(image("a.png", square(2, 9, "wall"), square(3, 5, "door")), meta="")))
    assert data.classes == ["background", "door", "wall"]


def test_what_has_no_area_or_cannot_be_read_is_reported(photo, write):
    photo("a.png")
    skeleton = '<skeleton label="car" z_order="0"><points label="1" outside="0" points="1,2"></points></skeleton>'
    faulty = {
        shape("polyline", points="1,2;3,4"): "shapes of the kind polyline have no area",
        shape("points", points="1,2"): "shapes of the kind points have no area",
        shape("cuboid", xtl1=1): "shapes of the kind cuboid have no area",
        skeleton: "shapes of the kind skeleton have no area; CVAT's masks do not show them either",
        polygon("1,2;3,4"): "it has 2 points; at least 3",
        polygon("1,2;3,4;5"): "its polygon cannot be read",
        polygon("1,2;3,x;5,6"): "its polygon cannot be read",
        polygon("1,2;3,nan;5,6"): "no numbers",
        square(2, 9, "tree"): "its label 'tree' is not among the labels",
        shape("box", xtl=1): "its box has no ytl",
        shape("mask", rle="3,2", left=0, top=0, width=2, height=3): "add up to 5 pixels, not to 6",
        shape("mask", rle="", left=0, top=0, width=2, height=3): "its mask cannot be read",
        shape("mask", rle="9" * 400, left=0, top=0, width=9, height=9): "its mask cannot be read",
        shape("mask", rle="1", left=0, top=0, width=10**6, height=10**6): "pixels; the image is 20x16",
        shape("ellipse", cx="x", cy=1, rx=1, ry=1): "its ellipse cannot be read",
    }
    tag = '<tag label="car" source="manual"></tag>'
    content = cvat(*(image(f"{number}.png", one, tag) for number, one in enumerate(faulty)))
    for number in range(len(faulty)):
        photo(f"{number}.png")
    report = check(open_data(write(content)))
    assert {problem.kind for problem in report.errors} == {Kind.SHAPES}
    found = {problem.files[0].name: problem.found for problem in report.errors}
    for number, words in enumerate(faulty.values()):
        assert words in found[f"{number}.png"]
        assert "more" not in found[f"{number}.png"]


def test_a_projects_subsets_are_splits_with_images_of_equal_names(photo, write):
    for subset in ("Train", "Validation"):
        photo(f"images/{subset}/a.png")
    meta = f"<project><id>1</id><tasks>{task(1)}{task(2)}</tasks></project>"
    elements = [
        image("a.png", square(2, 12), more='subset="Train" task_id="1"'),
        image("a.png", square(2, 6), more='subset="Validation" task_id="2"'),
    ]
    data = open_data(write(cvat(*elements, meta=meta)))
    assert {name: [pair.image.parent.name for pair in pairs] for name, pairs in data.splits.items()} == {
        "train": ["Train"],
        "val": ["Validation"],
    }
    sums = {name: int(read_pair(pairs[0], data.codes)[1].sum()) for name, pairs in data.splits.items()}
    assert sums == {"train": 100, "val": 16}
    elements.append(image("a.png", more='subset="Train" task_id="2"'))
    with pytest.raises(DataError, match=r"more than once; an export of a project .* export each task"):
        open_data(write(cvat(*elements, meta=meta)))


def frame(number, outside=0, keyframe=1, first=2, last=12, z_order=0):
    points = f"{first},{first};{last},{first};{last},{last};{first},{last}"
    return (
        f'<polygon frame="{number}" keyframe="{keyframe}" outside="{outside}" occluded="0" points="{points}" '
        f'z_order="{z_order}"></polygon>'
    )


def track(*frames, name="car", more=""):
    return f'<track id="0" label="{name}" source="manual" {more}>{"".join(frames)}</track>'


VIDEO = "<size>4</size><start_frame>10</start_frame><stop_frame>19</stop_frame><frame_filter>step=3</frame_filter>"
VIDEO += "<original_size><width>20</width><height>16</height></original_size>"


def video(*tracks):
    return cvat(*tracks, meta=task(mode="interpolation", more=VIDEO))


def test_objects_of_a_video_are_there_from_a_keyframe_until_they_are_outside(photo, write, labels_of):
    for number in (0, 9, 10, 11, 13, 16, 19, 22):  # more than the task's: each third from 10 to 19
        photo(f"images/frame_{number:06}.png")
    moving = track(frame(10), frame(13, first=4, keyframe=0), frame(16, outside=1))
    above = track(frame(13, first=10, last=14, z_order=1), name="road")
    data = open_data(write(video(above, moving)))
    labels = labels_of(data)
    assert {name: int((own == 1).sum()) for name, own in labels.items()} == {
        "frame_000010.png": 100,
        "frame_000013.png": 64 - 4,
        "frame_000016.png": 0,
        "frame_000019.png": 0,
    }
    assert (labels["frame_000013.png"] == 2).sum() == 16
    assert list(data.splits) == ["train"]  # the frames of one video are not divided
    assert "2 of 4 images have no annotation" in data.notes[0]


def test_keyframes_hold_until_the_next_and_a_shape_of_one_frame_does_not(photo, write, labels_of):
    for number in (10, 13, 16, 19):
        photo(f"images/frame_{number:06}.PNG")
    data = open_data(write(video(track(frame(10), frame(16, last=4)), track(frame(13, first=13, last=15)))))
    counts = {name: int(own.sum()) for name, own in labels_of(data).items()}
    assert list(counts.values()) == [100, 104, 4, 4]
    assert "in 2 places the file does not say where an object of a video is" in data.notes[0]


def test_frames_that_are_missing_are_reported_and_how_they_come(write):
    data = open_data(write(video(track(frame(10), frame(13, outside=1)))))
    assert [problem.files[0].name for problem in check(data).errors] == ["frame_000010.png"]
    assert "no frame of its video is there; frames are images called frame_000000" in data.notes[0]


def test_videos_of_several_folders_keep_to_their_frames(photo, write, labels_of):
    for place in "ab":
        photo(f"{place}/images/frame_000010.png")
        write(video(track(frame(10, last=4 if place == "a" else 12), frame(13, outside=1))), f"{place}/annotations.xml")
    data = open_data(write("<x/>", "x.xml").parent)
    pairs = [pair for pairs in data.splits.values() for pair in pairs]
    assert sorted(data.splits) == ["train", "val"]
    assert {pair.image.parent.parent.name: pair.drawing.draw().pixels for pair in pairs} == {"a": 320, "b": 320}


def test_two_videos_in_one_folder_are_refused(photo, write):
    photo("images/a/frame_000010.png"), photo("images/b/frame_000010.png")
    with pytest.raises(DataError, match=r"frame 10 is there twice, .* a folder with its frames"):
        open_data(write(video(track(frame(10), frame(13, outside=1)))))


def test_frames_exported_as_images_are_found_without_their_suffix_and_stay_together(photo, write):
    numbers = range(12)
    for number in numbers:
        photo(f"images/frame_{number:06}.jpg")
    elements = [image(f"frame_{number:06}", square(2, 9)) for number in numbers]
    path = write(cvat(*elements, meta=task(mode="interpolation")))
    assert {name: len(pairs) for name, pairs in open_data(path).splits.items()} == {"train": 12}
    assert sorted(open_data(write(cvat(*elements))).splits) == ["test", "train", "val"]


def test_a_mask_is_drawn_again_only_where_its_own_shapes_change(photo, write):
    photo("a.png"), photo("b.png")
    masks = []
    for last in (8, 9):
        data = open_data(write(cvat(image("a.png", square(2, last)), image("b.png", square(3, 5)))))
        masks.append({pair.image.name: pair.mask for pairs in data.splits.values() for pair in pairs})
    assert masks[0]["a.png"] != masks[1]["a.png"]
    assert masks[0]["b.png"] == masks[1]["b.png"]


def test_data_can_be_sent_to_another_process_and_no_name_leads_out(photo, write, tmp_path):
    photo("data/a.png"), photo("secret.png")
    data = open_data(write(cvat(image("a.png", square(2, 12)), image("../secret.png")), "data/annotations.xml"))
    images = {pair.image for pairs in data.splits.values() for pair in pairs}
    assert all(own.is_relative_to(tmp_path / "data") and ".." not in own.parts for own in images)
    kept = [pair for pairs in pickle.loads(pickle.dumps(data)).splits.values() for pair in pairs]
    assert {read_pair(pair, data.codes)[1].sum() for pair in kept if pair.image.name == "a.png"} == {100}


LAUGHS = (
    '<!DOCTYPE annotations [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>\n<annotations><image name="&b;"/></annotations>'
)
SECRET = '<!DOCTYPE annotations [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n<annotations><meta>&a;</meta></annotations>'
OUTSIDE = '<!DOCTYPE annotations SYSTEM "http://127.0.0.1/x.dtd">\n<annotations><meta></meta></annotations>'


@pytest.mark.parametrize("content", [LAUGHS, SECRET, OUTSIDE])
def test_entities_and_document_types_are_refused(write, content):
    with pytest.raises(DataError, match=r"annotations\.xml: declares a document type or entities"):
        open_data(write(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no XML, or is cut"),
        ("<annotations", "is no XML, or is cut"),
        ("<annotations>" * 10**5, "is no XML, or is cut"),
        ("<annotations><meta></annotations>", "is no XML, or is cut"),
        ('<?xml version="1.0" encoding="utf-7"?><annotations><meta/></annotations>', "is no XML, or is cut"),
        ('<?xml version="1.0" encoding="rot13"?><annotations><meta/></annotations>', "is no XML, or is cut"),
        ("<annotation><meta/></annotation>", "begins with <annotation>; CVAT's files begin with <annotations>"),
        (cvat(meta=""), "has 0 labels"),
        (cvat(image("a.png"), meta=task(labels={"a&#9;b": ""})), "control character"),
        (cvat('<image name="a.png" width="1"/>'), r"line 5: height is ''; a whole number is expected"),
        (cvat(image("a.png", square(1, 2, z_order="top"))), r"z_order is 'top'; a whole number is expected"),
        (cvat(track(frame("first"))), r"frame is 'first'; a whole number is expected"),
        (cvat(image("")), "line 5: an image has no name"),
        (cvat(image("a.png"), image("a.png")), "more than once"),
    ],
)
def test_files_that_are_wrong_are_refused_in_words(tmp_path, write, content, message):
    with pytest.raises(DataError, match=message):
        read_cvat(tmp_path, [write(content)])
