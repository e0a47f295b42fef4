from __future__ import annotations

from collections.abc import Sequence

import pytest

from backend.pipeline.cases import prepare as prepare_module
from training.case_files import CaseFiles
from training.nnunet.data.dataset import PreparedDataset
from training.workspace import Workspace


@pytest.fixture
def _no_preprocessing(monkeypatch: pytest.MonkeyPatch) -> None:
    """nnU-Net's own part takes two seconds; most tests do without."""

    def prepare(
        _workspace: Workspace,
        cases: Sequence[CaseFiles],
        folds: dict[str, int],
        *_: object,
        **__: object,
    ) -> PreparedDataset:
        assert {case.case_id for case in cases} == set(folds)
        used = tuple(sorted(set(folds.values())))
        return PreparedDataset(len(cases), (), (), False, used, {}, 0.0)

    monkeypatch.setattr(prepare_module, "prepare", prepare)
    # It reads what the other writes.
    monkeypatch.setattr(prepare_module, "try_fresh_network", lambda *_: None)
