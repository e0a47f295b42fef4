"""From the last label to better polygons."""
