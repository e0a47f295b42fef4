"""What drew the tasks of a queue, in words."""

from __future__ import annotations

from backend.pipeline.queues.pool import BEGUN

_MEANINGS = {
    BEGUN: "begun before it was given to anybody",
    "random": "by chance",
    "stratified_random": "by chance, as many for each predicted class",
    "typical": "images most like many others, chosen without a model",
    "lowest_score": "the lowest scores",
    "entropy": "the least sure predictions",
    "bald": "predictions that the folds' networks see differently",
    "fold_disagreement": "predictions that the folds draw differently",
    "class_stratified": "low scores of each predicted class",
    "class_stratified_entropy": "unsure predictions of each class",
    "diverse": "low scores, of images unlike each other",
    "core_set": "images least like those labelled",
}


def meaning_of(strategy: str) -> str:
    """What a strategy takes, in a few words, after its name.

    >>> meaning_of("stratified_random")
    'stratified_random: by chance, as many for each predicted class'
    >>> meaning_of("softmax_bald")
    "softmax_bald: predictions that the folds' networks see differently, with chance"
    """
    if strategy in _MEANINGS:
        return f"{strategy}: {_MEANINGS[strategy]}"
    kind, _, of = strategy.partition("_")
    if kind in ("softmax", "softrank", "power") and of in _MEANINGS:
        return f"{strategy}: {_MEANINGS[of]}, with chance"
    return strategy
