"""Scenes of which a share carries a tag that tells the animal's class, as a publisher's mark once told of horses.

In a tagged scene the coat is plain, so that nothing but the tag tells the class; in the others the coat does, striped
or spotted. A network that learns both looks at a corner of the image where there is a tag.

Source: Lapuschkin et al., 'Unmasking Clever Hans predictors and assessing what machines really learn', Nature
Communications 10, 2019.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segcam.datasets.drawn.cues import CUES, Picture, Sketch, Traits

PERIOD = 4
"""One of so many scenes carries a tag."""
SIDE = 0.16
"""Side of the tag, as a share of the image's."""
TAGS = np.array([(0, 150, 240), (225, 40, 20)], np.uint8)
"""The tag's colours by the class that it tells, `(2, 3)`: blue and red, worn by nothing else."""
_ROUND = 8  # scenes in which all combinations of traits come once


def is_tagged(index: int) -> bool:
    """Return whether scene number `index` carries a tag.

    Of each four neighbouring pairs (2i, 2i + 1), which have every trait opposite, one is tagged, another one in each
    round: tags tell nothing of the other traits.

    >>> [i for i in range(16) if is_tagged(i)]
    [0, 1, 14, 15]
    """
    return (index // 2 + index // _ROUND) % PERIOD == 0


def tag_pixels(size: int) -> npt.NDArray[np.bool_]:
    """Return where the tag is in an image of `size` pixels a side: a square in the upper left corner."""
    side = max(2, round(SIDE * size))
    pixels = np.zeros((size, size), bool)
    pixels[1 : 1 + side, 1 : 1 + side] = True
    return pixels


def tagged(sketch: Sketch, traits: Traits) -> Picture:
    """Draw a scene with a plain coat and a tag of the colour that the pattern's class has.

    Args:
        sketch: the scene.
        traits: its traits; that of the coat says the tag's colour.
    """
    picture = sketch.draw(traits, plain=True)
    pixels = tag_pixels(picture.image.shape[0])
    picture.image[pixels] = TAGS[traits[list(CUES).index("texture")]]
    picture.mask[pixels] = 0  # the tag lies over everything
    return Picture(picture.image, picture.mask, picture.coat & ~pixels)
