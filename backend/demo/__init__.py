"""The demo: synthetic ultrasound, a simulated annotator, and the loop run end to end on them."""
