import os
import socket

import pytest

from backend.stack.ports import free_port, is_free, require_free
from domain.errors import StackError


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()
    assert is_free(port)
    require_free(port, "a test")


def test_a_taken_port_names_its_purpose_and_holder() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(
            StackError, match=f"Port {port} .*Label Studio.*{os.getpid()}"
        ) as caught:
            require_free(port, "Label Studio")
    assert caught.value.remedy
