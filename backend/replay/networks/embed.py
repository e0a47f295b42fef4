"""Makes the embeddings of a library; loads a network."""

from __future__ import annotations

from pathlib import Path

from backend.replay.images.embeddings import Embeddings, read_embeddings
from backend.replay.images.library import Library, workspace
from training.case_files import read_case_image
from training.nnunet.networks.image_embedding import ImageEmbedding
from training.pretrained import has_weights


def embed(library: Library, root: Path) -> Embeddings | None:
    """What each image looks like, made where it is not there yet.

    Returns:
        None where the weights of the preset ``pretrained`` are not installed.
    """
    found = read_embeddings(root, library)
    if found is not None or not has_weights():
        return found
    embedding, place = ImageEmbedding(), workspace(root)
    found = Embeddings(
        {
            case.content_hash: embedding(read_case_image(place, case.case_id))
            for case in library.cases
        }
    )
    found.write(root)
    return found
