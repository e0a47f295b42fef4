"""Label Studio's JSON and labelling interface <-> regions and label maps. No files."""
