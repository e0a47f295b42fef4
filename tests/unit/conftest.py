"""Settings of hypothesis for all unit tests."""

from hypothesis import settings

# No deadline per example: a busy machine is no failure. The same examples in every run.
settings.register_profile("nnloop", deadline=None, derandomize=True)
settings.load_profile("nnloop")
