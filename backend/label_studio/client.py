"""LabelStudioClient: every call nnloop makes, in one object."""

from __future__ import annotations

from types import TracebackType

from backend.label_studio.backends import Backends
from backend.label_studio.changes import Changes
from backend.label_studio.connection import TIMEOUT_S, Connection
from backend.label_studio.images import Images
from backend.label_studio.predictions import Predictions
from backend.label_studio.projects import Projects
from backend.label_studio.server import Server
from backend.label_studio.tasks import Tasks
from backend.label_studio.views import Views
from backend.label_studio.webhooks import Webhooks


class LabelStudioClient(
    Server, Projects, Tasks, Changes, Predictions, Backends, Webhooks, Views, Images
):
    """Typed access to one Label Studio.

    Every method raises ``LabelStudioAuthError`` when the key is refused and ``LabelStudioError``
    when Label Studio refuses, fails or does not answer in time. Calls that change nothing twice
    are retried; POST calls are not. Safe to share between threads.

    Args:
        url: Address of Label Studio, with its path prefix if it has one.
        api_key: Legacy token or personal access token.
        timeout_s: Seconds an ordinary call may take.

    Raises:
        LabelStudioError: The address is no http(s) URL.
        LabelStudioAuthError: The key is empty or has expired.
    """

    def __init__(self, url: str, api_key: str, *, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(Connection(url, api_key, timeout_s=timeout_s))

    def __repr__(self) -> str:
        return f"LabelStudioClient(url={self.url!r}, api_key='***')"

    def __enter__(self) -> LabelStudioClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Address of Label Studio, without a slash at the end."""
        return self._connection.url

    def close(self) -> None:
        """Closes the pooled connections."""
        super().close()
        self._connection.close()
