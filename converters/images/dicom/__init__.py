"""DICOM files: their pixels, how large these are, and what a file may not promise."""
