"""Settings of hypothesis and of the console for all unit tests."""

import os

from hypothesis import settings

# The command line's console takes its width when it is first imported.
os.environ["COLUMNS"] = "200"

# No deadline per example: a busy machine is no failure. The same examples in every run.
settings.register_profile("nnloop", deadline=None, derandomize=True)
settings.load_profile("nnloop")
