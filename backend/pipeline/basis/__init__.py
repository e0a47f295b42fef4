"""What every step stands on: context, run settings, annotations, images, faults."""
