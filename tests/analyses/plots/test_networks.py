"""Names of networks in titles."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from analyses.plots import networks
from analyses.reading.results import Results

LABELS = {
    "segformer": "SegFormer (MiT-B0)",
    "segformer_position": "SegFormer, position embedding",
    "unet": "U-Net",
    "unet@start": "U-Net, another start",
    "vit": "ViT (ViT-Tiny/16)",
    "timm_unet:resnet18": "timm U-Net (resnet18)",
}


@pytest.mark.parametrize(
    ("model", "names", "name"),
    [
        ("vit", ["vit", "unet"], "ViT"),
        ("segformer", ["segformer", "unet"], "SegFormer"),
        ("segformer", ["segformer", "segformer_position"], "SegFormer (MiT-B0)"),
        ("unet@start", ["unet", "unet@start"], "U-Net, another start"),
        ("timm_unet:resnet18", ["timm_unet:resnet18", "unet"], "timm U-Net (resnet18)"),
    ],
)
def test_a_name_is_short_where_no_other_network_has_it(model: str, names: list[str], name: str) -> None:
    labels = {"models": LABELS}
    results = SimpleNamespace(models=names, label=lambda kind, key: labels[kind][key])
    assert networks.name_of(cast(Results, results), model) == name
