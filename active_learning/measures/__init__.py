"""How sure the folds are about one image: measures of pixels, classes and the whole of it."""

from active_learning.measures.image import ClassMeasures, ImageMeasures, measure_image

__all__ = ["ClassMeasures", "ImageMeasures", "measure_image"]
