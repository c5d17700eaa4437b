"""One scene: the animal, what lies around it, light and camera."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segcam.datasets.drawn.animal import animal
from segcam.datasets.drawn.clutter import stalks, thing
from segcam.datasets.drawn.shapes import Field, Layer, clipped
from segcam.datasets.drawn.texture import FURS, GROUNDS, coat_pattern, colour, ground_pattern, noise, waves

BORDER = 0.014
"""Half the width of the trimap's border, as a share of the image's side."""

MARGIN = 2 * BORDER
"""How far from a shape its distance is known; the contact shadow reaches as far."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A drawn picture and the truth about it.

    Attributes:
        image: RGB, `(size, size, 3)` uint8.
        mask: `(size, size)` uint8: 0 background, 1 pet, 255 within a few pixels of the pet's outline.
        parts: `(size, size)` uint8: index into `PARTS`; above 0 wherever there is pet, under the border too.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    parts: npt.NDArray[np.uint8]


def draw(seed: int, index: int, size: int) -> Scene:
    """Draw scene number `index`: an animal among distractors that wear its coat.

    What is drawn depends on `seed` and `index` alone; the same scene can be had at any size, where only the camera's
    noise differs.

    Args:
        seed: seed of the drawing, 0 or more.
        index: number of the scene, 0 or more.
        size: side of the square image, in pixels.

    Returns:
        The image, its mask and its part map.
    """
    rng = np.random.default_rng([seed, index])
    shapes, scale = animal(rng)
    angle = rng.uniform(-math.pi, 0)
    light = (math.cos(angle), math.sin(angle))
    fuzz = noise(rng, size, 60, 60)
    fuzz -= np.float32(0.5)
    fuzz *= np.float32(rng.uniform(0.0, 0.012))
    pet, behind, front = (Layer(size, light, MARGIN, fuzz) for _ in range(3))
    for shape in shapes:
        pet.paint(shape)
    wears_coat = place_things(rng, scale, behind, front)
    image = _colours(rng, scale, pet, behind, front, wears_coat)
    mask, parts = truth(np.maximum(pet.distance, -front.distance), pet.parts)  # where no thing stands in front
    return Scene(camera(rng, size)(image), mask, parts)


def place_things(rng: np.random.Generator, scale: float, behind: Layer, front: Layer) -> Field:
    """Paint the distractors; return which share of the animal's coat, not of another, each pixel's thing wears."""
    size = behind.size
    worn = np.ones((size, size), np.float32)
    for _ in range(int(rng.integers(2, 5))):
        for shape in thing(rng, scale):
            behind.paint(shape)
    if rng.random() < 0.25:
        for shape in stalks(rng):
            front.paint(shape)
    worn[noise(rng, size, 2, 2) > 0.6] = 0
    return worn


def truth(distance: Field, painted: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the mask and the part map of a pet, from its signed distance and the parts painted there."""
    mask = np.full(distance.shape, 255, np.uint8)
    mask[distance > BORDER] = 0
    mask[distance < -BORDER] = 1
    parts = np.where(distance < 0, painted, 0).astype(np.uint8)
    return mask, parts


def ground(rng: np.random.Generator, size: int) -> Field:
    """Draw a wall and a floor, or one ground alone, `(3, size, size)`."""

    def side() -> Field:
        palette = FURS if rng.random() < 0.25 else GROUNDS
        first, second = colour(rng, palette, 0.08), colour(rng, palette, 0.08)
        second = first + (second - first) * np.float32(rng.uniform(0.2, 0.9))
        return first + ground_pattern(rng, size) * (second - first)

    ground = side()
    if rng.random() < 0.55:
        horizon = round(rng.uniform(0.2, 0.75) * size)
        ground[:, horizon:] = side()[:, horizon:]
    return ground


def paint_over(image: Field, layer: Layer, coat: Field, trim: Field) -> None:
    """Blend a layer into the image: the coat, lightened by trim, times shade."""
    alpha = clipped(np.float32(0.5) - layer.distance * np.float32(layer.size))
    paint = coat + layer.tint * (trim - coat)
    paint *= layer.shade
    paint -= image
    paint *= alpha
    image += paint


def cast_shadow(image: Field, distance: Field, strength: float) -> None:
    """Darken the image below a shape, `strength` of it at the shape's outline and nothing beyond `MARGIN`."""
    shadow = clipped(1 - distance / np.float32(MARGIN)) * np.float32(strength)
    drop = max(1, round(0.02 * image.shape[1]))
    image[:, drop:] *= 1 - shadow[:-drop]


def _colours(rng: np.random.Generator, scale: float, pet: Layer, behind: Layer, front: Layer, worn: Field) -> Field:
    """Give the layers their colours and put them over each other, `(3, size, size)` in about 0..1."""
    size = pet.size
    image = ground(rng, size)
    first, second, trim = colour(rng, FURS), colour(rng, FURS), colour(rng, FURS[3:5], 0.03)
    pattern = coat_pattern(rng, size, scale)
    pattern *= np.float32(0.8)
    pattern += 0.2 * noise(rng, size, 60, 60)
    coat = first + pattern * (second - first)
    other = colour(rng, GROUNDS) * (0.8 + 0.4 * pattern)
    things = other + worn * (coat[:, ::-1, ::-1] - other)
    paint_over(image, behind, things, trim)
    cast_shadow(image, pet.distance, rng.uniform(0.1, 0.5))
    paint_over(image, pet, coat, trim)
    if front.distance.min() < 1:
        paint_over(image, front, things, trim)
    return image


def _blur(image: Field, weight: float) -> None:
    """Blend each pixel with its neighbours on both axes; `weight` is that of one neighbour, below 1/3."""
    step = max(1, round(image.shape[1] / 128))
    for view in (image, image.transpose(0, 2, 1)):
        near = view[:, 2 * step :] + view[:, : -2 * step]
        near *= np.float32(weight)
        middle = view[:, step:-step]
        middle *= np.float32(1 - 2 * weight)
        middle += near


def camera(rng: np.random.Generator, size: int) -> Callable[[Field], npt.NDArray[np.uint8]]:
    """Choose light, contrast, blur and noise.

    Returns:
        What applies them to an image, `(3, size, size)` in about 0..1, in place, and gives it as
        `(size, size, 3)` uint8; used again, it applies the same ones, noise and all.
    """
    light = waves(size, rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.6), 0)
    light += np.float32(rng.uniform(0.75, 1.2) - light[size // 2, size // 2])
    if rng.random() < 0.3:
        band = waves(size, rng.uniform(0, math.pi), rng.uniform(0.8, 2), rng.uniform(0, 1))
        light *= 1 - np.float32(rng.uniform(0.15, 0.4)) * np.clip(8 * (np.abs(band % 1 - 0.5) - 0.25), 0, 1)
    cast = rng.uniform(0.92, 1.08, (3, 1, 1)).astype(np.float32)
    blur, grain = rng.uniform(0, 1), rng.uniform(0.005, 0.035)
    grains = rng.standard_normal((size, size + 14), dtype=np.float32)
    grains *= np.float32(grain)

    def take(image: Field) -> npt.NDArray[np.uint8]:
        image *= light
        image *= cast
        _blur(image, 0.35 * blur / (1 + 0.7 * blur))
        for i in range(3):  # shifted copies: as good to the eye as three draws, in a third of the time
            image[i] += grains[:, 7 * i : 7 * i + size]
        image *= 255
        np.clip(image, 0, 255, out=image)
        return np.ascontiguousarray(image.astype(np.uint8).transpose(1, 2, 0))

    return take
