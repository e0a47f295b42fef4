"""``python -m tests.record``: records in tests/golden/recorded what a real Label Studio sends.

Its calls to a backend and its webhooks, its exports, and what its editor makes of regions drawn in
a real Chromium. The images are made here. A newer Label Studio is recorded by running it again.
"""
