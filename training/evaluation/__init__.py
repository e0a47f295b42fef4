"""How good predictions are: overlap and surface distances per class and case, and their report."""

from training.evaluation.dice import (
    ClassDice,
    DicePerCase,
    dice_per_class,
    image_dice,
    mean_over_cases,
    mean_over_classes,
    mean_over_images,
    named_dice,
)

__all__ = [
    "ClassDice",
    "DicePerCase",
    "dice_per_class",
    "image_dice",
    "mean_over_cases",
    "mean_over_classes",
    "mean_over_images",
    "named_dice",
]
