"""Settings of one installation and of one project."""

from backend.settings.data_folder import installation_id, installation_name
from backend.settings.faults import faults_of
from backend.settings.installation import Settings
from backend.settings.project import ProjectSettings
from backend.settings.run import RunSettings

__all__ = [
    "ProjectSettings",
    "RunSettings",
    "Settings",
    "faults_of",
    "installation_id",
    "installation_name",
]
