"""What benchmarks measure on: generated pictures, and folders of images as projects."""
