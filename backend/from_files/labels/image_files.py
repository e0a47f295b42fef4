"""Where the images of a project of files lie, by the addresses that its tasks have."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from backend.label_studio.images import FetchedImage
from converters.bookkeeping.documents import read_document, write_document
from converters.bookkeeping.files import exact_stamp_of
from converters.images.of_tasks import read_image_bytes
from domain.errors import ImageError

_FILE = "images.json"


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Address -> absolute path of its file: a document."""

    paths: Mapping[str, str] = field(default_factory=dict)
    form: Literal[1] = 1

    @classmethod
    def in_folder(cls, data_dir: Path) -> ImageFiles:
        """As ``keep`` left it; empty before."""
        path = data_dir / _FILE
        return read_document(path, cls) if path.exists() else cls()

    def keep(self, data_dir: Path) -> None:
        """For other processes, and later ones."""
        write_document(data_dir / _FILE, ImageFiles, self)

    def has(self, path: Path) -> bool:
        """Whether a path is that of one of the images."""
        return str(path.resolve()) in self.paths.values()

    def fetch_changed(
        self, uri: str, task_id: int, project_id: int, *, unless_tag: str = ""
    ) -> FetchedImage | None:
        """The file of an address; its tag is its stamp.

        Args:
            uri: The address.
            task_id: Named in errors.
            project_id: The only one.
            unless_tag: Nothing is read of a file that still has it.

        Returns:
            None where it still has that tag.

        Raises:
            ImageError: There is no file, or it is too large.
        """
        found = self.paths.get(uri)
        if found is None:
            raise ImageError(
                task_id,
                "image_missing",
                f"the file of its image {uri!r} was not found.",
                remedy="Give the folder of images with --images.",
            )
        path, tag = Path(found), ""
        with suppress(OSError):  # whoever reads it says what is the matter
            tag = exact_stamp_of(path)
        if tag and tag == unless_tag:
            return None
        return FetchedImage(read_image_bytes(path, task_id), tag)

    def project(self, project_id: int) -> None:
        """Files are always there, or each is missing by itself."""
