from __future__ import annotations

import re
from pathlib import Path

from converters.exports.formats import FORMATS as EXPORTS
from converters.imports.formats import FORMATS as IMPORTS

DOC = Path(__file__).resolve().parents[3] / "docs" / "files.md"


def test_every_format_is_documented() -> None:
    _, exports, imports = re.split(r"^## (?:Export|Import)$", DOC.read_text(), flags=re.MULTILINE)
    for part, formats in ((exports, EXPORTS), (imports, IMPORTS)):
        rows = [line.split("|")[1] for line in part.splitlines() if line.startswith("| `")]
        assert set(re.findall(r"`([\w-]+)`", " ".join(rows))) == set(formats)
