"""Progress where somebody sees it: in a notebook, on a terminal, else nowhere."""

import sys
from types import SimpleNamespace

import pytest
from IPython import display

from fullyconv import live


@pytest.fixture
def notebook(monkeypatch):
    """A notebook's kernel; what it was given to show, one after the other."""
    shown: list[str] = []
    handle = SimpleNamespace(update=lambda html: shown.append(html.data))
    monkeypatch.setattr(display, "display", lambda html, display_id: handle)
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: SimpleNamespace(kernel=object()))
    return shown


@pytest.fixture
def clock(monkeypatch):
    """Seconds, which only pass when they are set."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(live.time, "monotonic", lambda: now.seconds)
    return now


def test_a_notebook_is_told_from_a_terminal(notebook, monkeypatch):
    assert live.in_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: SimpleNamespace())  # IPython on a terminal
    assert not live.in_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    assert not live.in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not live.in_notebook()


def test_a_line_in_a_notebook_has_a_bar_a_text_and_the_time_left(notebook, clock):
    line = live.NotebookLine()
    line.show(0.2, "loss <0.5>")
    clock.seconds = 30
    line.show(0.6, "loss <0.4>")
    assert 'value="0.6000"' in notebook[1]
    assert "loss &lt;0.4&gt; · 0:30 left" in notebook[1]  # 0.4 in 30 s, and 0.4 to come
    line.close("done")
    assert notebook[-1] == "done"


def test_a_line_is_sent_to_the_browser_few_times_a_second(notebook, clock):
    line = live.NotebookLine()
    for step in range(1000):
        clock.seconds = step / 100
        line.show(step / 1000, "")
    assert 30 < len(notebook) <= 41


def test_a_bar_is_shown_in_a_notebook_and_taken_away(notebook):
    with live.notebook_bar("checking data") as step:
        step(1, None)
    assert "checking data" in notebook[0]
    assert "value" not in notebook[0]
    assert notebook[1] == ""


def test_a_bar_is_taken_away_where_work_fails(notebook):
    with pytest.raises(ValueError, match="broken"), live.notebook_bar("checking data"):
        raise ValueError("broken")
    assert notebook == [""]


def test_elsewhere_there_is_no_bar_and_a_line_only_on_a_terminal(capfd, monkeypatch):
    with live.notebook_bar("checking data") as step:
        step(1, 2)
    assert live.open_line() is None
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    line = live.open_line()
    assert isinstance(line, live.TerminalLine)
    line.show(0.5, "loss [0.4]")
    line.close()
