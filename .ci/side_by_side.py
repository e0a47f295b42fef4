"""side_by_side.py TITLE COMMAND... -- TITLE COMMAND...: runs commands at the same time.

What each prints is shown whole when it has ended; until then one line says how long they have been
running. The exit status is the first that is not 0. Ctrl-C, or a SIGTERM, interrupts all of them,
waits until they have tidied up, and leaves none running.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

POLL_S = 0.2

NEWS_S = 60.0
"""Between two lines of progress where they are not written over one another."""

TIDY_S = 90.0
"""Given to commands that were interrupted: servers are stopped, folders removed."""


class InterruptedBySignal(BaseException):
    """Somebody wants all of it to end; no error."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Command:
    """One of the commands, in a process group of its own, its output in a file."""

    def __init__(self, title: str, argv: list[str], log: Path) -> None:
        self.title, self.log = title, log
        environment = dict(os.environ)
        if sys.stdout.isatty():
            environment["PY_COLORS"] = "1"  # pytest looks at its own output, which is a file
        self.started = time.monotonic()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                close_fds=False,  # make's own, if it was called with -j
                process_group=0,
            )

    @property
    def seconds(self) -> int:
        """How long it has been running."""
        return int(time.monotonic() - self.started)

    def last_line(self) -> str:
        """The end of what it has printed so far."""
        with self.log.open("rb") as output:
            output.seek(max(0, self.log.stat().st_size - 400))
            lines = output.read().decode(errors="replace").split("\n")
        line = next((text for text in reversed(lines) if text.strip()), "")
        return "".join(c for c in line if c.isprintable())

    def signal(self, number: int) -> None:
        """To it and to all it has started in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def main(arguments: list[str]) -> int:
    """Runs them; the exit status."""
    groups: list[list[str]] = [[]]
    for argument in arguments:
        if argument == "--":
            groups.append([])
        else:
            groups[-1].append(argument)
    if any(len(group) < 2 for group in groups):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with tempfile.TemporaryDirectory(prefix="nnloop-side-by-side-") as folder:
        commands: list[Command] = []
        try:
            for i, (title, *argv) in enumerate(groups):
                commands.append(Command(title, argv, Path(folder) / f"{i}.log"))
            return _follow(commands)
        except InterruptedBySignal as stop:
            _end(commands)
            return 128 + stop.number


def _follow(commands: list[Command]) -> int:
    """Shows what each has printed when it has ended; the first status that is not 0."""
    status, running = 0, list(commands)
    _write(f"Side by side: {'; '.join(c.title for c in commands)}.\n")
    said = time.monotonic()
    while running:
        time.sleep(POLL_S)
        for command in [c for c in running if c.process.poll() is not None]:
            running.remove(command)
            _show(command)
            status = status or _exit_status(command)
            said = time.monotonic()
        if running and time.monotonic() - said >= (1.0 if sys.stdout.isatty() else NEWS_S):
            _say(running)
            said = time.monotonic()
    return status


def _say(running: list[Command]) -> None:
    if not sys.stdout.isatty():
        for command in running:
            _write(f"{command.title} ... {command.seconds} s  {command.last_line()[-80:]}\n")
        return
    width = shutil.get_terminal_size().columns // len(running) - 2
    parts = (f"{c.title} {c.seconds} s {c.last_line()}"[:width] for c in running)
    _write("\r\033[K" + " | ".join(parts))


def _show(command: Command, *, is_interrupted: bool = False) -> None:
    """All it has printed, between two lines that name it."""
    if sys.stdout.isatty():
        _write("\r\033[K")
    _write(f"======== {command.title}\n")
    with command.log.open("rb") as output:
        shutil.copyfileobj(output, sys.stdout.buffer)
    status = _exit_status(command)
    end = "done" if status == 0 else f"FAILED with exit status {status}"
    if is_interrupted:
        end = "killed" if status == 128 + signal.SIGKILL else "interrupted"
    _write(f"======== {command.title}: {end} after {command.seconds} s\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _exit_status(command: Command) -> int:
    code = command.process.returncode
    return 128 - code if code < 0 else code


def _end(commands: list[Command]) -> None:
    """Interrupts all of them; a second Ctrl-C, or too long a wait, kills them."""
    running = [command for command in commands if command.process.poll() is None]
    try:
        for command in running:
            command.signal(signal.SIGINT)
        deadline = time.monotonic() + TIDY_S
        while any(c.process.poll() is None for c in running) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    except InterruptedBySignal:
        pass
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # what is left takes no time
    for command in running:
        if command.process.poll() is None:
            command.signal(signal.SIGKILL)
            command.process.wait()
        _show(command, is_interrupted=True)


def _interrupt(number: int, _frame: object) -> None:
    raise InterruptedBySignal(number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
