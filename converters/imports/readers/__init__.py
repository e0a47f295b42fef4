"""Other tools' files -> ImportedImages: one module per format."""
