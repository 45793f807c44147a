"""YAML of strangers: what it may be, and that what it may not be is refused in words, and soon."""

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fullyconv.data.layouts.described.descriptor import read_descriptor
from fullyconv.errors import ConfigError, DataError, WeightsError
from fullyconv.publish.push import read_config
from fullyconv.training.config import load_config, parse_settings
from fullyconv.yaml_data import MAX_BYTES, MAX_DEPTH, MAX_VALUES, parse_yaml, read_yaml

LAUGHS = "\n".join(["a0: &a0 [ha, ha]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30))])
MERGES = "\n".join(
    ["a0: &a0 {k: v}", *(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 30))]
)
HOSTILE = {
    "laughs": (LAUGHS, "more than 20,000 values"),
    "merges": (MERGES, "more than 20,000 values"),
    "deep": ("[" * 100_000, "line 1 is nested more than 32 deep"),
    "deep mapping": ("\n".join("  " * i + "a:" for i in range(300)), "nested more than 32 deep"),
    "itself": ("&a [*a]", r"\*a stands within what it names"),
    "itself, deeper": ("&a {b: {c: *a}}", r"\*a stands within what it names"),
    "many": ("[" + "1," * 21_000 + "]", "more than 20,000 values"),
    "long": ("a: " + "1" * 20_000, "line 1 has a value of more than 10,000 characters"),
    "object": ("!!python/object/apply:os.system [exit]", "could not determine a constructor"),
    "two documents": ("a: 1\n---\nb: 2", "expected a single document"),
    "large": ("#" * (MAX_BYTES + 1), "larger than the 1,048,576 bytes"),
    "no date": ("2024-13-45", "month must be in 1..12"),
    "no bool": ("!!bool perhaps", "not what its form says"),
    "no integer": ("!!int ''", "not what its form says"),
    "no time": ("!!timestamp noon", "not what its form says"),
    "no anchor": ("*a", "found undefined alias"),
}


@pytest.mark.parametrize(("text", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_hostile_is_refused_soon_by_every_reader(text, reason, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(ValueError, match=reason):
        read_yaml(path)
    with pytest.raises(DataError, match=r"a\.yaml: cannot be read as YAML: "):
        read_descriptor(path)
    with pytest.raises(WeightsError, match=r"a\.yaml cannot be read: "):
        read_config(path)
    if not reason.startswith("month"):  # where all is text, there are no dates
        with pytest.raises(ConfigError, match=r"a\.yaml cannot be read as YAML: "):
            load_config(path)
        if "bytes" not in reason:
            with pytest.raises(ConfigError, match="the value is not YAML: "):
                parse_settings([f"data.path={text}"])
    assert time.process_time() - began < 20


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ValueError, match="not UTF-8 text"):
        read_yaml(tmp_path / "a.yaml")


def test_the_bounds_are_where_they_are_said_to_be():
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert str(parse_yaml(deepest)) == deepest
    with pytest.raises(ValueError, match="deep"):
        parse_yaml(f"[{deepest}]")
    many = f"[{'1,' * (MAX_VALUES - 1)}]"  # the list itself is a value
    assert parse_yaml(many) == [1] * (MAX_VALUES - 1)
    with pytest.raises(ValueError, match="values"):
        parse_yaml(many.replace("]", "1]"))


def test_aliases_are_read():
    assert parse_yaml("{a: &a [1, 2], b: *a, c: {<<: &c {d: 3}, e: *c}}") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": 3, "e": {"d": 3}},
    }


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.dates()


@settings(max_examples=60, deadline=None)
@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12))
def test_what_is_written_is_read(content):
    assert parse_yaml(yaml.safe_dump(content)) == content
