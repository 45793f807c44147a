import pytest
from thinning import THIN, make_thin


@pytest.fixture
def thin(monkeypatch):
    make_thin(monkeypatch)
    return THIN
