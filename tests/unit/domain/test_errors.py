import inspect
import re

import pytest

from domain import errors
from domain.errors import ImageError, NnloopError, TaskError


def tree() -> list[type[NnloopError]]:
    classes = [value for _, value in inspect.getmembers(errors, inspect.isclass)]
    return [c for c in classes if issubclass(c, NnloopError)]


def test_the_drawing_shows_the_whole_tree() -> None:
    drawing = (errors.__doc__ or "").split("A message is", 1)[0]
    lines = re.findall(r"^([ |+-]*)(\w+Error)\b", drawing, re.MULTILINE)
    depth_of = {name: len(lead) for lead, name in lines}
    assert set(depth_of) == {e.__name__ for e in tree()}
    for error in tree():
        if error is not NnloopError:
            (parent,) = error.__bases__
            assert depth_of[error.__name__] == depth_of[parent.__name__] + 4


def test_message_and_remedy() -> None:
    error = NnloopError("The port 80 is taken.", remedy="Choose another.")
    assert (str(error), error.remedy) == ("The port 80 is taken.", "Choose another.")
    assert error.in_full == "The port 80 is taken. Choose another."
    bare = NnloopError("It failed.")
    assert (bare.remedy, bare.in_full) == ("", "It failed.")


def test_task_errors_name_the_task() -> None:
    error = ImageError(7, "image_missing", "its image answered 404.", remedy="Upload it again.")
    assert str(error) == "Task 7: its image answered 404."
    assert (error.task_id, error.reason, error.remedy) == (7, "image_missing", "Upload it again.")
    with pytest.raises(TaskError):
        raise error
