"""Annotations -> cases on disk, and the manifest that names them. No training."""
