"""Sizes of networks: what no memory holds is refused before a weight is made."""

from __future__ import annotations

from typing import Any

import pytest

from segcam import InputError, memory
from segcam.models import complete, create, weight_bytes


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("unet", {"width": 10**6}, "choose a smaller width"),
        ("unet", {"width": 2**31}, "choose a smaller width"),
        ("timm_unet", {"width": 10**7}, "choose a smaller width"),
        ("vit", {"image_size": 2**20}, "choose a smaller image_size"),
        ("vit", {"image_size": 10**9, "patch_size": 4}, "choose a smaller image_size or patch_size"),
        ("timm_unet:convnextv2_huge", {"width": 10**6}, "choose a smaller encoder or width"),
    ],
)
def test_giants(name: str, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=r"takes at least [\d,.]+ GiB of memory, and .* are free") as caught:
        create(name, 2, parameters)
    assert str(caught.value).endswith(words)


@pytest.mark.parametrize("value", [10**30, 2**31 + 1, -(10**30)])
def test_numbers_beyond_all_measure(value: int) -> None:
    with pytest.raises(InputError, match=r"parameter 'width' of model 'unet' is .*: no network has such a number"):
        create("unet", 2, {"width": value})
    with pytest.raises(InputError, match="no network has such a number"):
        create("segformer", 2, {"drop_path": float("nan")})


@pytest.mark.parametrize("name", ["unet", "segformer", "timm_unet", "vit"])
def test_bytes_are_those_of_the_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = create(name, 3)
    real = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    assert weight_bytes(name, 3, tuple(complete(name, {}).items())) == real
    monkeypatch.setattr(memory, "available", lambda: 1000)
    create(name, 3)  # of about the size that its file says it is not looked into
