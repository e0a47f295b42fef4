"""Recording: bodies by name, with what differs from one run to the next made equal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TIME = "2026-01-01T00:00:00.000000Z"
UUID = "00000000-0000-4000-8000-000000000000"

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# Label Studio puts eight digits before the name of an upload.
_UPLOAD = re.compile(r"\b[0-9a-f]{8}-(?=im\d)")
# Label Studio calls itself by the commit of the folder it runs in.
_AGENT = re.compile(r"heartex/\S+")
# The project of /setup: its id, and the second it was made in.
_PROJECT_AND_SECOND = re.compile(r"(\d+)\.\d{9,10}")
# Ids the editor draws by lot: of regions ten characters, of vertices 21.
_DRAWN_ID = re.compile(r"[\w-]{10}|[\w-]{21}")
_ID_KEYS = ("id", "prevPointId", "parentID")

_FIXED: dict[str, Any] = {
    "token": "<project-invite-token>",
    "created_ago": "0 minutes",
    "lead_time": 1.0,
    "draft_created_at": TIME,
    "label_config_hash": 0,
}
"""By key, whatever it was; null stays null."""

_HEADERS = ("Authorization", "Content-Type", "User-Agent", "X-Sig")


class Recording:
    """What was recorded, by name; the name is the file's.

    Args:
        words: What is replaced in every string, and by what: secrets, addresses.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = dict(words)
        self._files: dict[str, str] = {}

    def add(self, name: str, body: Any) -> None:
        """Takes a body; ``name`` may have folders and has no suffix."""
        ids: dict[str, str] = {}
        plain = self._plain(body, "", ids)
        text = json.dumps(plain, indent=1, ensure_ascii=False)
        # Lists of numbers (points, rle) on one line.
        text = re.sub(
            r"\[[\s\d.,eE+-]+\]",
            lambda m: re.sub(r"\s+", " ", m[0]).replace("[ ", "[").replace(" ]", "]"),
            text,
        )
        assert name not in self._files, f"{name} was recorded twice"
        self._files[name] = text + "\n"

    def add_call(self, name: str, call: tuple[str, str, dict[str, str], bytes]) -> None:
        """Takes a call that a listener has noted."""
        method, path, headers, body = call
        kept = {key: headers[key] for key in _HEADERS if key in headers}
        if "Authorization" in kept:
            kept["Authorization"] = "Basic <base64 user:password>"
        self.add(
            f"calls/{name}",
            {
                "method": method,
                "path": path,
                "headers": kept,
                "body": json.loads(body) if body else None,
            },
        )

    def write(self, folder: Path) -> Iterator[str]:
        """Writes what has changed, deletes what is no longer recorded; a line for each."""
        old = {
            str(path.relative_to(folder).with_suffix("")): path for path in folder.rglob("*.json")
        }
        same = 0
        for name, text in sorted(self._files.items()):
            path = folder / f"{name}.json"
            before = path.read_text(encoding="utf-8") if name in old else None
            if before == text:
                same += 1
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            yield f"{'new' if before is None else 'changed'}: {name}"
        for name in sorted(old.keys() - self._files.keys()):
            old[name].unlink()
            yield f"gone: {name}"
        size = sum(len(text.encode()) for text in self._files.values())
        yield f"{len(self._files)} recordings, {size / 1024:.0f} KB, {same} as before, in {folder}"

    def _plain(self, value: Any, key: str, ids: dict[str, str]) -> Any:
        if value is None:
            return None
        if key in _FIXED:
            return _FIXED[key]
        if isinstance(value, dict):
            return {k: self._plain(v, k, ids) for k, v in value.items()}
        if isinstance(value, list):
            return [self._plain(item, key, ids) for item in value]
        if not isinstance(value, str):
            return value
        for word, instead in self._words.items():
            value = value.replace(word, instead)
        if key in _ID_KEYS and _DRAWN_ID.fullmatch(value):
            return ids.setdefault(value, f"drawn-{len(ids) + 1}")
        if key == "project" and (found := _PROJECT_AND_SECOND.fullmatch(value)):
            return f"{found[1]}.1767225600"
        value = _AGENT.sub("heartex/<version>", _UUID.sub(UUID, _TIME.sub(TIME, value)))
        return _UPLOAD.sub("00000000-", value)
