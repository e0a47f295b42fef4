"""What training leaves behind: cases, runs, versions, trials."""
