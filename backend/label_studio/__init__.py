"""The Label Studio client: the only place in nnloop that speaks HTTP to Label Studio.

One module per noun; ``LabelStudioClient`` joins them. Behaviour that is not in Label Studio's own
documentation was measured against version 1.23.2.
"""

from backend.label_studio.backends import BackendInfo
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.predictions import PushedPrediction
from backend.label_studio.projects import ProjectInfo
from backend.label_studio.server import User
from backend.label_studio.tasks import ServedTask, TaskHead, plain_name

__all__ = [
    "BackendInfo",
    "LabelStudioClient",
    "ProjectInfo",
    "PushedPrediction",
    "ServedTask",
    "TaskHead",
    "User",
    "plain_name",
]
