"""A child of the fold runner that ends without a result: ``python -m ... SPEC.json``."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    print(Path(sys.argv[1]).read_text())
