"""The images that a person wants predicted: files, and folders with all that is in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from converters.imports.find import IMAGE_ENDINGS
from domain.errors import FileFormatError


@dataclass(frozen=True, slots=True)
class ImageInput:
    """One image file.

    Attributes:
        path: Where it lies.
        name: Its path below the folder that was named, with "/": also what it is called.
    """

    path: Path
    name: str

    @property
    def stem(self) -> str:
        """``name`` without its ending: what files about it are called."""
        return self.name.removesuffix(self.path.suffix)

    @property
    def stamp(self) -> str:
        """Changes when the file does."""
        about = self.path.stat()
        return f"{about.st_size} {about.st_mtime_ns}"


def find_images(sources: Iterable[Path], beside: Path) -> Iterator[ImageInput]:
    """The images of files and folders, folders in order of their names and with all below them.

    Args:
        sources: Files are taken whatever they are called; of folders what ends like an image.
        beside: Folder of results: nothing below it is an image to predict.

    Raises:
        FileFormatError: There is no such file or folder.
    """
    results = beside.resolve()
    for source in sources:
        if source.is_file():
            yield ImageInput(source, source.name)
        elif source.is_dir():
            for path in sorted(source.rglob("*")):
                below = path.relative_to(source)
                if (
                    path.suffix.lower() in IMAGE_ENDINGS
                    and not any(part.startswith(".") for part in below.parts)
                    and results not in path.resolve().parents
                    and path.is_file()
                ):
                    yield ImageInput(path, below.as_posix())
        else:
            raise FileFormatError(
                f"There is no file or folder {source}.", remedy="Correct the path."
            )
