"""Starts a Label Studio and a Chromium, records, and says what has changed."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

from backend.label_studio import LabelStudioClient
from tests.fakes.listener import listening
from tests.record.calls import record_calls
from tests.record.drawings import record_drawings
from tests.record.exports import record_exports
from tests.record.recording import Recording
from tests.servers import logged_in, running_browser, running_label_studio

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "recorded"


def main() -> None:
    """Records everything; a folder with recordings is brought up to date."""
    with (
        tempfile.TemporaryDirectory(prefix="nnloop-record-") as folder,
        running_label_studio(Path(folder)) as server,
        LabelStudioClient(server.url, server.credentials.token) as client,
        listening() as listener,
        running_browser() as browser,
        logged_in(browser, server) as page,
    ):
        recording = Recording(
            {
                server.url: "http://127.0.0.1:8080",
                listener.url: "http://127.0.0.1:9090",
                server.credentials.token: "<legacy-token>",
                server.credentials.password: "<password>",
                server.credentials.email: "admin@example.com",
            }
        )
        # The calls come first: their project and tasks then have the same ids each time.
        record_calls(recording, client, listener)
        record_exports(recording, client)
        record_drawings(recording, client, page)
        found = client._connection.json("GET", "/api/version")
        recording.add(
            "versions",
            {
                "Label Studio": found["release"],
                "Chromium": browser.version,
                "label-studio-sdk": version("label-studio-sdk"),
            },
        )
    for line in recording.write(FOLDER):
        print(line)


if __name__ == "__main__":
    main()
