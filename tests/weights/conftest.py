import pytest

from tests.thinning import THIN, make_thin


@pytest.fixture
def thin(monkeypatch):
    make_thin(monkeypatch)
    return THIN
