"""Pictures for people: overlays and panels. Nothing reads them back."""
