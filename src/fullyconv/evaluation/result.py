"""What ``evaluation.json`` holds: the measurements, as dictionaries."""

from typing import NotRequired, TypedDict


class BoundaryClass(TypedDict):
    """How the boundary of one class was found; None where it is undefined."""

    name: str
    iou: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    hd95: float | None
    """The mean over the images in which truth and labels both have the class."""
    hd95_images: int
    """How many those are."""
    one_sided_images: int
    """Images where only one of truth and labels has the class, which have no distance."""


class BoundaryResult(TypedDict):
    """How boundaries were found (see ``boundary``)."""

    width: str
    """Of the boundary IoU: such as 2% (of the image's diagonal), or pixels."""
    tolerance: str
    """Of F1, precision and recall, likewise."""
    hd95_unit: str
    """What distances are in: pixels, metres, or the unit of the given spacing."""
    mean_iou: float | None
    mean_f1: float | None
    mean_hd95: float | None
    per_class: list[BoundaryClass]


class ReliabilityBin(TypedDict):
    """The pixels whose probability lies in a range; None where there is none."""

    low: float
    high: float
    pixels: int
    probability: float | None
    """The mean of their probabilities."""
    frequency: float | None
    """The share of them for which it came true."""


class CalibrationResult(TypedDict):
    """Whether probabilities are what they say (see ``calibration``)."""

    of: str
    """Whose probabilities: those of the labels given, or those of one class, of two."""
    ece: float | None
    """The expected calibration error."""
    probability: float | None
    """The mean over all pixels."""
    frequency: float | None
    bins: list[ReliabilityBin]


class ThresholdRates(TypedDict):
    """The rates of the second of two classes where pixels are given it from this probability on."""

    threshold: float
    precision: float | None
    recall: float | None
    f1: float | None
    iou: float | None


class ThresholdResult(TypedDict):
    """How the second of two classes is found at each threshold (see ``thresholds``)."""

    name: str
    """The second class."""
    average_precision: float | None
    half: ThresholdRates
    """Those at 0.5: of the labels given."""
    best: ThresholdRates | None
    """Those of the highest F1, which is also the highest IoU."""
    chosen: NotRequired[ThresholdRates]
    """Those at the threshold that was the best on the split val."""
    curve: list[ThresholdRates]
    """Those at 0, 0.01, …, 1."""


class ClassResult(TypedDict):
    """How one class was labelled; a rate is None where it is undefined (see ``metrics``)."""

    name: str
    iou: float | None
    dice: float | None
    precision: float | None
    recall: float | None
    accuracy: float | None
    """The same as ``recall``: the paper's word for it."""
    pixels: int
    iou_interval: NotRequired[list[float] | None]
    """The 95% interval of the IoU over images (see ``bootstrap``)."""


class Result(TypedDict):
    """What ``evaluation.json`` holds; rates are fractions in 0..1."""

    pixel_accuracy: float | None
    mean_accuracy: float | None
    mean_iou: float | None
    frequency_weighted_iou: float | None
    mean_dice: float | None
    mean_precision: float | None
    mean_recall: float | None
    """The same as ``mean_accuracy``."""
    per_class: list[ClassResult]
    confusion: list[list[int]]
    images: int
    split: str
    mean_iou_interval: NotRequired[list[float] | None]
    boundary: NotRequired[BoundaryResult]
    calibration: NotRequired[CalibrationResult]
    thresholds: NotRequired[ThresholdResult]
    heads: NotRequired[dict[str, "Result"]]
    """The result of each labeling, where images have several; the entries beside this one are the first labeling's."""
