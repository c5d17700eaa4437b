"""A folder of a user's, as few lines as it takes to say what lies where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segcam.datasets import DatasetOptions
from segcam.datasets.folder import open_folder
from segcam.errors import DataError
from segcam.samples import SPLITS, Opened, Sample

SIZE = 16


class Root:
    """A folder that tests fill; `cache` lies beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path / "mine"
        self.cache = path / "cache"
        self.path.mkdir()

    def describe(self, text: str) -> None:
        (self.path / "classes.toml").write_text(text)

    def save(self, name: str, content: Any, **how: Any) -> Path:
        """Save an array or picture below the root; `.npy` as NumPy does."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".npy"):
            np.save(file, content)
        elif isinstance(content, str):
            file.write_text(content)
        else:
            (content if isinstance(content, Image.Image) else Image.fromarray(content)).save(file, **how)
        return file

    def fill(self, masks: Mapping[str, Any], image: str = "images/{}.png", mask: str = "masks/{}.png") -> None:
        """Save masks, by name, with a photograph of noise each."""
        rng = np.random.default_rng(0)
        for name, values in masks.items():
            size = np.asarray(values).shape[:2]
            self.save(image.format(name), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
            self.save(mask.format(name), values)

    def open(self, **options: Any) -> Opened:
        return open_folder(replace(DatasetOptions(size=SIZE, root=self.path, cache=self.cache), **options))

    def error(self, *words: str, **options: Any) -> str:
        """The error's text, which holds all of the words."""
        with pytest.raises(DataError) as caught:
            self.open(**options)
        text = str(caught.value)
        for word in words:
            assert word in text, text
        return text

    def samples(self, **options: Any) -> dict[str, Sample]:
        """All samples by their ids."""
        splits = self.open(**options).splits
        return {splits[s][i].id: splits[s][i] for s in SPLITS if s in splits for i in range(len(splits[s]))}

    def ids(self, **options: Any) -> dict[str, list[str]]:
        """The ids of each split."""
        return {
            name: [images[i].id for i in range(len(images))] for name, images in self.open(**options).splits.items()
        }


def halves(low: int, high: int, dtype: str = "uint8") -> np.ndarray:
    """A mask whose upper quarter is `high`."""
    values = np.full((SIZE, SIZE), low, dtype)
    values[: SIZE // 4] = high
    return values
