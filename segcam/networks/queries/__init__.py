"""Networks whose output is not dense: queries with a class and a mask each, and masks for prompts.

>>> import torch
>>> from segcam import Probe, Target
>>> from segcam.networks.queries import Semantic, adapted
>>> adapted(torch.nn.Conv2d(3, 2, 1)) is None  # whose output is dense already
True
"""

from torch import nn

from segcam.networks.queries import masks, prompted
from segcam.networks.queries.listing import Query, list_queries
from segcam.networks.queries.masks import EachQuery, Semantic
from segcam.networks.queries.prompted import PromptedMask
from segcam.networks.queries.scores import class_scores

__all__ = ["EachQuery", "PromptedMask", "Query", "Semantic", "adapted", "class_scores", "list_queries"]


def adapted(network: nn.Module) -> nn.Module | None:
    """Return a network of transformers with a dense output, under the paths of its own modules; None for others.

    Mask2Former, MaskFormer, OneFormer and EoMT are read by class, see `Semantic`; SAM and SAM 2 by the best mask of
    the first prompt, see `PromptedMask`. They are recognised by the names of their classes; transformers is not
    imported.
    """
    names = masks.names_of(network)
    if any(name in masks.FAMILIES for name in names):
        return Semantic(network)
    return PromptedMask(network) if any(name in prompted.FAMILIES for name in names) else None
