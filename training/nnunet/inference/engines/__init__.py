"""What runs the networks on prepared images: torch, OpenVINO, and who chooses between them."""
