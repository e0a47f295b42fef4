"""A child of the fold runner that has a helper process: ``python -m ... SPEC.json``."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    pids = {"helper": helper.pid}
    Path(sys.argv[1]).with_name("pids.tmp").write_text(json.dumps(pids))
    Path(sys.argv[1]).with_name("pids.tmp").rename(Path(sys.argv[1]).with_name("pids.json"))
    time.sleep(60)
