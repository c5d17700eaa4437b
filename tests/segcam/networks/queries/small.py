"""Small networks of transformers whose outputs are not dense, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segcam._compat import mend_torchvision

mend_torchvision()
transformers = pytest.importorskip("transformers")

SIZES = {"eomt": (64, 64), "eomt dinov3": (64, 64), "sam": (128, 128), "sam 2": (128, 128)}
"""Of those that take images of one size; others take any."""

_SWIN: dict[str, Any] = {"embed_dim": 12, "depths": [1] * 4, "num_heads": [1, 1, 2, 2], "window_size": 4}
_STAGES = ["stage1", "stage2", "stage3", "stage4"]
_DEFORMABLE: dict[str, Any] = {
    "num_labels": 5,
    "hidden_dim": 64,  # two channels a group of GroupNorm: behind one channel a group gradients would cancel
    "encoder_feedforward_dim": 16,
    "dim_feedforward": 16,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "num_attention_heads": 2,
}


def _mask2former(queries: int) -> nn.Module:
    config = transformers.Mask2FormerConfig(
        **_DEFORMABLE,
        backbone_config=transformers.SwinConfig(**_SWIN, out_features=_STAGES),
        feature_size=64,
        mask_feature_size=64,
        num_queries=queries,
    )
    return transformers.Mask2FormerForUniversalSegmentation(config)


def _maskformer(queries: int) -> nn.Module:
    decoder = transformers.DetrConfig(
        d_model=16,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=16,
        num_queries=queries,
    )
    config = transformers.MaskFormerConfig(
        backbone_config=transformers.SwinConfig(**_SWIN, out_features=_STAGES),
        decoder_config=decoder,
        fpn_feature_size=64,
        mask_feature_size=64,
        num_labels=5,
    )
    return transformers.MaskFormerForInstanceSegmentation(config)


def _oneformer(queries: int) -> nn.Module:
    config = transformers.OneFormerConfig(
        **_DEFORMABLE,
        backbone_config=transformers.SwinConfig(**_SWIN, out_features=_STAGES),
        num_queries=queries,
        conv_dim=64,
        mask_dim=64,
        query_dec_layers=1,
        is_training=False,
    )
    return transformers.OneFormerForUniversalSegmentation(config)


def _eomt(queries: int, kind: str = "Eomt") -> nn.Module:
    if not hasattr(transformers, f"{kind}Config"):
        pytest.skip(f"this version of transformers has no {kind}")
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=64,
        patch_size=8,
        num_queries=queries,
        num_labels=5,
        num_blocks=2,
        num_upscale_blocks=1,
        **({"intermediate_size": 16} if kind == "EomtDinov3" else {}),
    )
    return getattr(transformers, f"{kind}ForUniversalSegmentation")(config)


_PROMPTS: dict[str, Any] = {"hidden_size": 16, "image_size": 128, "patch_size": 16, "mask_input_channels": 4}
_DECODER: dict[str, Any] = {
    "hidden_size": 16,
    "mlp_dim": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "iou_head_hidden_dim": 16,
}


def _sam() -> nn.Module:
    vision = {
        "hidden_size": 16,
        "output_channels": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 128,
        "patch_size": 16,
        "window_size": 3,
        "global_attn_indexes": [1],
        "num_pos_feats": 8,
        "mlp_dim": 16,
    }
    parts = {"vision_config": vision, "prompt_encoder_config": _PROMPTS, "mask_decoder_config": _DECODER}
    return transformers.SamModel(transformers.SamConfig(**parts))


def _sam2() -> nn.Module:
    if not hasattr(transformers, "Sam2Config"):
        pytest.skip("this version of transformers has no SAM 2")
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[128, 128],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1] * 4,
        window_size_per_stage=[4] * 4,
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    vision = {
        "backbone_config": backbone.to_dict(),
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 16,
    }
    parts = {"vision_config": vision, "prompt_encoder_config": _PROMPTS, "mask_decoder_config": _DECODER}
    return transformers.Sam2Model(transformers.Sam2Config(**parts))


QUERIED: dict[str, Callable[[int], nn.Module]] = {
    "mask2former": _mask2former,
    "maskformer": _maskformer,
    "oneformer": _oneformer,
    "eomt": _eomt,
    "eomt dinov3": lambda queries: _eomt(queries, "EomtDinov3"),
}

PROMPTED: dict[str, Callable[[], nn.Module]] = {"sam": _sam, "sam 2": _sam2}


@lru_cache(maxsize=16)
def network(name: str, queries: int = 7) -> nn.Module:
    """The network in float64, no weight of which is zero."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        model = QUERIED[name](queries) if name in QUERIED else PROMPTED[name]()
        model = model.double().eval()
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def images(name: str, count: int = 2) -> Tensor:
    size = SIZES.get(name, (128, 96))
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(7)).double()
