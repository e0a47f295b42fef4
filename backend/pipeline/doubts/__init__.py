"""Labels that disagree with predictions which have not seen them: kept, looked at, listed."""
