import pytest

from domain.states import RunStatus


@pytest.mark.parametrize("status", list(RunStatus))
def test_final_states(status: RunStatus) -> None:
    assert status.is_final == (status.value in {"done", "failed", "cancelled"})
