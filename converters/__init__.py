"""Label Studio JSON, pixel masks and image files into one another: pure functions."""
