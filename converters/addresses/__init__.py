"""What a task's data names: addresses of images, names of uploads, pages. No pixels."""
