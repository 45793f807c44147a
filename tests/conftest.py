"""Property tests try the same examples in every run, so that a change is judged by what it changes."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
