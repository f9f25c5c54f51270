"""Eq. 1 where it is quickest: on the GPU when there is one and the work is worth the way there."""

from data.curation.row_views import Vectors
from data.curation.similarity import Similarity, pool_similarity
from data.curation.similarity_gpu import gpu_available, pool_similarity_gpu
from data.kernel_compiler import need_kernel_compiler

WORTH_A_GPU = 1 << 26  # pairs: half a second on one core, about what loading the kernel takes


def nearest_in_pool(images: Vectors, texts: Vectors, pool_images: Vectors, pool_texts: Vectors) -> Similarity:
    """See `data.curation.similarity.pool_similarity`; both ways agree to 1e-3."""
    worth = len(texts) * len(pool_texts) >= WORTH_A_GPU
    if not worth or not gpu_available():
        return pool_similarity(images, texts, pool_images, pool_texts)
    need_kernel_compiler("the similarity gate on a GPU")
    return pool_similarity_gpu(images, texts, pool_images, pool_texts)
