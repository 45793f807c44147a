"""The notebooks run from top to bottom, and are kept in git without what they print."""

import re
from ast import literal_eval
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The first steps, executed in an empty folder by a process of their own."""
    notebook = nbformat.read(NOTEBOOKS / "first_steps.ipynb", as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    client = nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3")
    return client.execute(cwd=str(folder)), folder


def outputs(notebook, start):
    """What the cell shows whose code starts so, by MIME type, one after the other."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.startswith(start)]
    return [output.get("data", {"stream": output.get("text", "")}) for output in cell.outputs]


def test_the_first_steps_lead_to_a_network_that_finds_objects(executed):
    notebook, folder = executed
    found = literal_eval(outputs(notebook, "result")[-1]["text/plain"])
    (of_object,) = [entry for entry in found["per_class"] if entry["name"] == "object"]
    assert of_object["iou"] > 0.5
    assert found["images"] == 30
    assert len(list((folder / "masks").glob("*.png"))) == 30
    assert (folder / "objects.onnx").is_file()
    assert "no problems in 300 images" in outputs(notebook, "print(check")[0]["stream"]


def test_training_shows_its_progress_in_one_line(executed):
    notebook, _ = executed
    shown = outputs(notebook, "run = fc.train")
    lines = [entry["text/html"] for entry in shown if "text/html" in entry and "iframe" not in entry["text/html"]]
    assert sorted(map(bool, lines)) == [
        False,
        False,
        True,
    ]  # the other bars have been taken away
    assert re.fullmatch(r"step 160 .* loss 0\.\d+  val mean IoU 0\.\d+ .*", max(lines))
    assert sum(entry.get("stream", "").count("\n") for entry in shown) < 10


@pytest.mark.parametrize(
    ("start", "kind", "holds"),
    [
        ("run = fc.train", "text/html", "objects: fcn8s-smallvgg"),
        ("result = fc.evaluate", "text/html", "Measured on 30 images of the split “test”, 2 classes"),
        ("predictor =", "image/png", "iVBOR"),
    ],
)
def test_results_show_themselves(executed, start, kind, holds):
    assert holds in outputs(executed[0], start)[-1][kind]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs_and_their_links_lead_somewhere(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
        else:
            for target in re.findall(r"\]\(([^)#]+)", cell.source):
                assert (NOTEBOOKS / target).exists(), target
