"""What nnloop is measured against."""
