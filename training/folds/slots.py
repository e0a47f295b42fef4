"""Slots: places to train in this process's own children, as many folds at once as devices bear."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from queue import LifoQueue

from training.devices import Device
from training.folds.runner import fold_server
from training.processes.forked import ForkServer


class Slots:
    """Places to train: as many folds at once as the devices bear."""

    def __init__(self, devices: Sequence[Device]) -> None:
        """Takes what ``training.devices.list_devices`` found."""
        places = [device for device in devices for _ in range(device.workers)]
        self.n, self.first = len(places), devices[0]
        # Last in, first out: a server is started where it is needed, and loads nnU-Net then.
        self._free: LifoQueue[tuple[Device, ForkServer | None]] = LifoQueue()
        self._servers: list[ForkServer] = []
        for device in places:
            server = None
            if device.name == "cpu" and sys.platform == "linux":
                # A fold then needs no time to load nnU-Net; a server serves one thread.
                server = fold_server(device.name, device.threads, sys.stderr.fileno())
                self._servers.append(server)
            self._free.put((device, server))

    @contextlib.contextmanager
    def one(self) -> Iterator[tuple[Device, ForkServer | None]]:
        """Waits for a place, and gives it back."""
        place = self._free.get()
        try:
            yield place
        finally:
            self._free.put(place)

    def close(self) -> None:
        """Ends the processes that are kept ready."""
        for server in self._servers:
            server.close()
