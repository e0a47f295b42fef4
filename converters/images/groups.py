"""GroupKey: what tells the patient, video or site a task belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from converters.images.of_tasks import image_name
from domain.annotation import Task

_NAME = "name:"


@dataclass(frozen=True, slots=True)
class GroupKey:
    r"""A task data field, or a regular expression on the name of the image file.

    >>> key = GroupKey.parse(r"name:^(P\d+)_")
    >>> key.group_of(Task(1, 1, {"image": "/data/upload/1/0a1b2c3d-P07_left.png"}), "image")
    'P07'
    """

    field: str = ""
    pattern: re.Pattern[str] | None = None

    @classmethod
    def parse(cls, text: str) -> GroupKey:
        """Reads ``FIELD`` or ``name:REGEX`` with one group.

        Raises:
            ValueError: The expression is broken or has not one group; the message says so.
        """
        if not text.startswith(_NAME):
            return cls(field=text)
        try:
            pattern = re.compile(text.removeprefix(_NAME))
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{text!r} is no regular expression: {error}") from None
        if pattern.groups != 1:
            raise ValueError(
                f"{text!r} must have one group in parentheses, the part of the file name that "
                f"names the patient, video or site; it has {pattern.groups}"
            )
        return cls(pattern=pattern)

    def group_of(self, task: Task, image_key: str) -> str | None:
        """The task's group; None when its data or its file name have none.

        Args:
            task: The task.
            image_key: The data field that names its image.
        """
        if self.pattern is None:
            value = task.data.get(self.field)
            return None if value in (None, "") else str(value)
        match = self.pattern.search(image_name(task, image_key))
        return (match[1] or None) if match else None
