"""The presets."""

import pytest

from fullyconv.data.augmentation.settings import PRESETS, Augmentation


def test_none_is_the_only_preset_that_changes_nothing() -> None:
    none = Augmentation(preset="none")
    done = {name: value for name, value in none if value and name not in ("preset", "elastic_spacing")}
    assert done == {"scale": (1, 1)}
    assert str(none) == "none: nothing is changed"
    assert [name for name in PRESETS if "nothing" in str(Augmentation.model_validate(name))] == ["none"]


def test_presets_suit_their_pictures() -> None:
    """Streets are never upside down, satellites have no above, and organs have their side."""
    street, aerial, microscopy, medical = (
        Augmentation.model_validate(name) for name in ("street", "aerial", "microscopy", "medical")
    )
    assert (street.vertical_flip, street.quarter_turns, street.rotate) == (0, 0, 0)
    for from_above in (aerial, microscopy):
        assert (from_above.flip, from_above.vertical_flip, from_above.quarter_turns) == (0.5, 0.5, 0.75)
    assert (medical.flip, medical.vertical_flip, medical.quarter_turns, medical.color) == (0, 0, 0, 0)
    assert medical.rotate > 0
    assert min(microscopy.elastic, medical.elastic, microscopy.gamma, medical.gamma) > 0


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_take_precedence_over_the_preset(preset: str) -> None:
    changed = Augmentation.model_validate({"preset": preset, "gamma": 0.7, "flip": 0.1})
    own = Augmentation.model_validate(preset)
    assert (changed.gamma, changed.flip) == (0.7, 0.1)
    assert changed.model_copy(update={"gamma": own.gamma, "flip": own.flip}) == own
    assert Augmentation.model_validate(changed.model_dump(mode="json")) == changed


def test_a_line_says_what_is_done() -> None:
    options = Augmentation(preset="street", elastic=8, flip_pairs=[("left", "right")], jpeg=40)
    assert str(options) == (
        "street: scale 0.5 to 2, flip 0.5, elastic 8, elastic_spacing 80, color 0.3, gamma 0.2, blur 1, jpeg 40, "
        "left and right exchanged"
    )
