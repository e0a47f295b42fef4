"""WorkIndex: what a command has done in a folder, so that a second run skips it.

One SQLite file. A row is written after the files of its item, so a killed run repeats at most the
item it was at.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from converters.bookkeeping.files import file_names, write_bytes
from converters.bookkeeping.index_database import IndexDatabase
from domain.annotation import LeftOut
from domain.errors import FileFormatError

_VERSION = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS job (name TEXT NOT NULL, run INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS items (
    key TEXT PRIMARY KEY, run INTEGER NOT NULL, position INTEGER NOT NULL, stamp TEXT NOT NULL,
    files TEXT NOT NULL, record TEXT
);
CREATE INDEX IF NOT EXISTS items_position ON items (position);
CREATE TABLE IF NOT EXISTS notes (
    key TEXT NOT NULL, task_id INTEGER NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL,
    region_id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS notes_key ON notes (key);
CREATE TABLE IF NOT EXISTS names (name TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE);
"""


class WorkIndex:
    """The items of one job in one folder, with a stamp of what each was made from.

    Args:
        path: The index file; made if missing.
        folder: What the items' files are relative to.
        job: What is done here (``export nnunet``); a folder holds one job.

    Raises:
        FileFormatError: Another job's index, a broken one, or one in use by another process.

    Whatever is asked of it raises OSError where the disk is full, as writing any file does.
    """

    def __init__(self, path: Path, folder: Path, job: str) -> None:
        self._folder = folder
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = IndexDatabase(path)
            try:
                self._run, self._position = self._open(job, path), 0
            except BaseException:
                self._db.close()
                raise
        except OSError as error:
            raise FileFormatError(
                f"{path} can't be used: {error.strerror}.",
                remedy="Wait until the other run has ended, or check the folder's rights and its "
                "disk.",
            ) from error
        except sqlite3.DatabaseError as error:
            raise FileFormatError(
                f"{path} is broken: {error}.", remedy="Delete it; everything is then done again."
            ) from error

    def __enter__(self) -> WorkIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def _open(self, job: str, path: Path) -> int:
        # One process at a time; a process may be killed at any time, a power cut costs the index.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("BEGIN EXCLUSIVE")
        for statement in _TABLES.split(";"):
            self._db.execute(statement)
        name = f"{job}, version {_VERSION}"
        row = self._db.execute("SELECT name, run FROM job").fetchone()
        if row is None:
            self._db.execute("INSERT INTO job VALUES (?, 0)", (name,))
            row = (name, 0)
        if row[0] != name:
            raise FileFormatError(
                f"{path.parent} holds the files of another command: {row[0]}.",
                remedy=f"Choose another folder, or empty this one, {path.name} included.",
            )
        self._db.execute("UPDATE job SET run = run + 1")
        self._db.execute("COMMIT")
        return int(row[1]) + 1

    def begin_again(self) -> None:
        """Starts a run anew: nothing was met yet."""
        self._db.execute("UPDATE job SET run = run + 1")
        self._run, self._position = self._run + 1, 0

    def is_seen(self, key: str) -> bool:
        """Whether this run has met the item already."""
        row = self._db.execute("SELECT run FROM items WHERE key = ?", (key,)).fetchone()
        return row is not None and row[0] == self._run

    def is_current(self, key: str, stamp: str) -> bool:
        """Whether the item was done from the same source and its files are still there.

        If so, it counts as done by this run too.
        """
        row = self._db.execute(
            "SELECT stamp, files, record FROM items WHERE key = ?", (key,)
        ).fetchone()
        if row is None or row[0] != stamp or row[2] is None:
            return False
        if not all((self._folder / name).is_file() for name in json.loads(row[1])):
            return False
        self._position += 1
        self._db.execute(
            "UPDATE items SET run = ?, position = ? WHERE key = ?",
            (self._run, self._position, key),
        )
        return True

    def name_for(self, key: str, wanted: str, otherwise: str) -> str:
        """A file name no other item has: ``wanted``, else ``otherwise``, else that with a number.

        An item keeps its name in later runs. Names that differ only in case count as equal.
        """
        row = self._db.execute("SELECT name FROM names WHERE key = ?", (key,)).fetchone()
        held = str(row[0]) if row is not None else ""
        if held == wanted.casefold():
            return wanted
        number = re.fullmatch(re.escape(otherwise.casefold()) + r"(|_\d+)", held)
        if number is not None:
            return otherwise + number[1]
        self._db.execute("DELETE FROM names WHERE key = ?", (key,))
        numbered = (f"{otherwise}_{n}" for n in itertools.count(2))
        every = itertools.chain((wanted, otherwise), numbered)
        name = next(name for name in every if self.holder_of(name) is None)
        self._db.execute("INSERT INTO names VALUES (?, ?)", (name.casefold(), key))
        return name

    def holder_of(self, name: str) -> str | None:
        """The key of the item that has a file name; None when it is free."""
        row = self._db.execute("SELECT key FROM names WHERE name = ?", (name.casefold(),))
        found = row.fetchone()
        return str(found[0]) if found is not None else None

    def done(
        self,
        key: str,
        stamp: str,
        files: Iterable[str],
        record: dict[str, Any],
        notes: Iterable[LeftOut],
    ) -> None:
        """Keeps an item whose files are written, and what was left out of it."""
        old = self._files_of(key)
        names = sorted(files)
        self._save(key, stamp, names, record, notes)
        self._remove(name for name in old.difference(names) if not self._is_one_of(name, names))

    def begin(self, key: str, files: Iterable[str]) -> str | None:
        """Tells of an item's files before they are written: a killed run leaves none behind.

        Returns:
            None; or the first of them that is there and not the item's own, and nothing is told.
        """
        mine, wanted = self._files_of(key), sorted(files)
        for name in wanted:
            is_there = name not in mine and os.path.lexists(self._folder / name)
            if is_there and not self._is_one_of(name, mine):
                return name
        self._save(key, "", sorted(mine.union(wanted)), None, ())
        return None

    def stamp_of(self, key: str) -> str:
        """What an item that is done was made from; "" of any other."""
        query = "SELECT stamp FROM items WHERE key = ? AND record IS NOT NULL"
        row = self._db.execute(query, (key,)).fetchone()
        return str(row[0]) if row is not None else ""

    def renew(self, key: str, stamp: str, record: dict[str, Any]) -> None:
        """Gives an item that is done another stamp and record; its files are what they were."""
        text = json.dumps(record, ensure_ascii=False)
        self._db.execute("UPDATE items SET stamp = ?, record = ? WHERE key = ?", (stamp, text, key))

    def unseen(self) -> list[tuple[str, str, dict[str, Any] | None]]:
        """(key, stamp, record) of all items that this run has not met."""
        query = "SELECT key, stamp, record FROM items WHERE run != ?"
        rows = self._db.execute(query, (self._run,)).fetchall()
        return [(key, stamp, json.loads(text) if text else None) for key, stamp, text in rows]

    def remove(self, key: str) -> None:
        """Forgets one item, with its files."""
        self._remove(self._files_of(key))
        self.forget(key)

    def keep(self, key: str, note: LeftOut) -> None:
        """Leaves an item that is done as it is, and notes why."""
        self._position += 1
        with self._db.whole():
            self._db.execute(
                "UPDATE items SET run = ?, position = ? WHERE key = ?",
                (self._run, self._position, key),
            )
            self._note(key, [note])

    def left_out(self, key: str, note: LeftOut) -> None:
        """Keeps an item that can't be done; files of an earlier run go."""
        old = self._files_of(key)
        self._save(key, "", [], None, [note])
        self._remove(old)

    def forget(self, key: str) -> None:
        """Forgets one item; its files stay."""
        for table in ("items", "notes", "names"):
            self._db.execute(f"DELETE FROM {table} WHERE key = ?", (key,))  # noqa: S608

    def forget_unseen(self) -> int:
        """Forgets items this run has not met, with their files; returns how many were done."""
        gone = 0
        query = "SELECT key, files, record FROM items WHERE run != ?"
        for key, files, record in self._db.execute(query, (self._run,)).fetchall():
            gone += record is not None
            self._remove(json.loads(files))
            self.forget(key)
        return gone

    def forget_unseen_left_out(self) -> None:
        """Forgets what an earlier run left out and this run has not met."""
        query = "SELECT key FROM items WHERE run != ? AND record IS NULL"
        for (key,) in self._db.execute(query, (self._run,)).fetchall():
            self.forget(key)

    def records(self) -> Iterator[dict[str, Any]]:
        """The records of all items that are done, in the order of this run."""
        query = "SELECT record FROM items WHERE record IS NOT NULL ORDER BY position"
        with closing(self._db.execute(query)) as rows:
            for (record,) in rows:
                yield json.loads(record)

    def record(self, key: str) -> dict[str, Any] | None:
        """The record of one item, whatever its stamp; None when there is none."""
        row = self._db.execute("SELECT record FROM items WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row is not None and row[0] is not None else None

    def notes(self) -> Iterator[tuple[bool, LeftOut]]:
        """Everything left out, in order: (whether the whole item was, what and why)."""
        query = (
            "SELECT record IS NULL, task_id, reason, message, region_id FROM notes "
            "JOIN items USING (key) ORDER BY position, notes.rowid"
        )
        with closing(self._db.execute(query)) as rows:
            for is_whole, *fields in rows:
                yield bool(is_whole), LeftOut(*fields)

    def counts(self) -> tuple[int, int, dict[str, int]]:
        """How many items are done, how many left out whole, and what was left out by reason."""
        query = "SELECT count(record), count(*) - count(record) FROM items"
        done, whole = self._db.execute(query).fetchone()
        query = "SELECT reason, count(*) FROM notes GROUP BY reason ORDER BY count(*) DESC, reason"
        return int(done), int(whole), dict(self._db.execute(query).fetchall())

    def strangers(self) -> Iterator[str]:
        """Files in the folders of this job's files that belong to no item; hidden ones aside."""
        self._db.execute("DROP TABLE IF EXISTS temp.written")
        self._db.execute(
            "CREATE TEMP TABLE written AS SELECT value AS name FROM items, json_each(files)"
        )
        self._db.execute("CREATE INDEX temp.written_name ON written (name)")
        query = "SELECT DISTINCT substr(name, 1, instr(name, '/') - 1) FROM written ORDER BY 1"
        tops = [str(top) for (top,) in self._db.execute(query).fetchall() if top]
        for top in tops:
            for folder, below, files in os.walk(self._folder / top):
                below.sort()
                for file in sorted(files):
                    name = (Path(folder) / file).relative_to(self._folder).as_posix()
                    query = "SELECT 1 FROM written WHERE name = ?"
                    if file[:1] != "." and not self._db.execute(query, (name,)).fetchone():
                        yield name

    def _files_of(self, key: str) -> set[str]:
        row = self._db.execute("SELECT files FROM items WHERE key = ?", (key,)).fetchone()
        return set(json.loads(row[0])) if row is not None else set()

    def _save(
        self,
        key: str,
        stamp: str,
        files: list[str],
        record: dict[str, Any] | None,
        notes: Iterable[LeftOut],
    ) -> None:
        self._position += 1
        text = None if record is None else json.dumps(record, ensure_ascii=False)
        with self._db.whole():
            self._db.execute(
                "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?)",
                (key, self._run, self._position, stamp, json.dumps(files), text),
            )
            self._note(key, notes)

    def _note(self, key: str, notes: Iterable[LeftOut]) -> None:
        self._db.execute("DELETE FROM notes WHERE key = ?", (key,))
        self._db.executemany(
            "INSERT INTO notes VALUES (?, ?, ?, ?, ?)",
            [(key, n.task_id, n.reason, n.message, n.region_id) for n in notes],
        )

    def _is_one_of(self, name: str, names: Iterable[str]) -> bool:
        """Whether a file is one of others too: where case does not count, in the other case."""
        path = self._folder / name
        alike = [self._folder / n for n in names if n.casefold() == name.casefold()]
        return path.exists() and any(other.exists() and other.samefile(path) for other in alike)

    def _remove(self, files: Iterable[str]) -> None:
        """Removes files, and folders that hold nothing then, as of a class that was renamed."""
        for name in files:
            path = self._folder / name
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self._folder or file_names(folder):
                    break
                with suppress(OSError):
                    folder.rmdir()


def write_report(path: Path, head: dict[str, Any], index: WorkIndex) -> None:
    """Writes the report of a run as JSON: ``head``, what was left out, what has a remark.

    Large reports are no burden: they go through a few KB of memory at a time.
    """
    write_bytes(path, _report_lines(head, index))


def _report_lines(head: dict[str, Any], index: WorkIndex) -> Iterator[bytes]:
    text = json.dumps(head, indent=1, ensure_ascii=False)
    yield text[:-2].encode()
    for title, are_remarks in (("left_out", False), ("noted", True)):
        yield f',\n "{title}": ['.encode()
        yield from _rows(index, are_remarks=are_remarks)
        yield b"\n ]"
    yield b"\n}\n"


def _rows(index: WorkIndex, *, are_remarks: bool) -> Iterator[bytes]:
    separator = "\n  "
    for is_whole, note in index.notes():
        if note.is_remark != are_remarks:
            continue
        row = {
            "task": note.task_id,
            "region": note.region_id,
            "reason": note.reason,
            "message": note.message,
            "whole": is_whole,
        }
        yield (separator + json.dumps(row, ensure_ascii=False)).encode()
        separator = ",\n  "
