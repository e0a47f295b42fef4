"""How good predictions are: overlap and surface distances per class and case, and their report."""

from training.evaluation.dice import dice_per_class, mean_dice, mean_over_cases, named_dice

__all__ = ["dice_per_class", "mean_dice", "mean_over_cases", "named_dice"]
