"""The benchmark of `data check` runs from end to end, in small."""

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "check.py"


def test_it_prints_what_the_check_takes_beside_decoding(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", [str(SCRIPT), "--images", "11", "--repeats", "1", "--out", str(tmp_path)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    first, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("11 images of 1024×1024 with masks")
    assert [row.split("  ")[0] for row in rows] == ["decoding alone", "check", "check again"]
    assert float(rows[0].split()[-3]) == 1
    assert len(list((tmp_path / "images").rglob("*.*"))) == 11
