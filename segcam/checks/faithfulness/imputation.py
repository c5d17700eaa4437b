"""What stands in the place of pixels that are taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import scipy  # whose parts are imported when they are asked for
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.arrays import booleans, real
from segcam.errors import InputError, unknown
from segcam.precision import in_full_precision
from segcam.streams import normal

Filler = Callable[[Int[Tensor, " n"], Bool[Tensor, "n H W"]], Float[Tensor, "n ch H W"]]
"""Which image each copy is of, and the pixels gone in it; the copies with something else in their place."""

Imputation = Callable[[Float[Tensor, "b ch H W"], Sequence[str], int], Filler]
"""Images, their names and a seed in; what fills copies of them out. What all copies share is made once."""

Array = npt.NDArray[np.float64]

BLUR = 1 / 12
"""Standard deviation of the blur, as a share of the shorter side."""

NOISE = 0.01
"""Standard deviation of the noise that ROAD adds, in standard deviations of the image."""

WEIGHTS = {0: 0.0, 1: 2.0, 2: 1.0}
"""How much a neighbour counts, by its distance in steps along rows and columns: 1/6 and 1/12 in the paper."""


def mean(images: Float[Tensor, "b ch H W"], _ids: Sequence[str], _seed: int) -> Filler:
    """Put the image's own mean colour in the place of pixels gone."""
    return _standing(images, images.mean((2, 3), keepdim=True).expand_as(images))


def blur(images: Float[Tensor, "b ch H W"], _ids: Sequence[str], _seed: int) -> Filler:
    """Put the blurred image in the place of pixels gone: a Gaussian of a twelfth of the shorter side."""
    return _standing(images, blurred(images, BLUR * min(images.shape[-2:])))


def noisy_linear(images: Float[Tensor, "b ch H W"], ids: Sequence[str], seed: int) -> Filler:
    """Put in the place of pixels gone what their neighbours give, and a little noise: ROAD.

    Each is the mean of its eight neighbours, those beside it counting double, of which others may be gone too: a system
    of linear equations. Where the whole image is gone, its mean colour stands. The shape of what is gone can then not
    be seen, but smooth maps, whose parts are large, are harder to fill: compare layers on grids of different sizes
    with a control of the same smoothness only, such as the control `random`, noise on the layer's own grid.

    The noise, normal with a deviation of a hundredth of the image's, is one field an image, the same for all its
    copies, so that differences between maps are not those of noise.

    Source: Rong et al., ICML 2022 (ROAD), section 4.2; neighbours outside the image are left out, as in their code.
    """
    shape = (images.shape[1], images.shape[2], images.shape[3])
    noise = normal(ids, shape, seed, "road").to(images)
    noise = noise * (NOISE * images.flatten(1).std(1, unbiased=False)).view(-1, 1, 1, 1)
    means = images.mean((2, 3), keepdim=True)
    arrays = images.double().numpy(force=True)

    def fill(rows: Int[Tensor, " n"], gone: Bool[Tensor, "n H W"]) -> Float[Tensor, "n ch H W"]:
        smooth = images[rows]
        for i, (row, mask) in enumerate(zip(rows.tolist(), gone.cpu().numpy(), strict=True)):
            if mask.all():
                smooth[i] = means[row]
            elif mask.any():
                smooth[i][:, gone[i]] = torch.from_numpy(solve(arrays[row], mask)).to(images)
        return smooth + noise[rows] * gone[:, None]

    return fill


IMPUTATIONS: dict[str, Imputation] = {"mean": mean, "blur": blur, "noisy_linear": noisy_linear}


def check_imputation(how: str) -> None:
    """Refuse a name that no imputation has.

    Raises:
        InputError: there is no such.
    """
    if how not in IMPUTATIONS:
        raise unknown("imputation", how, IMPUTATIONS)


def filler(images: Float[Tensor, "b ch H W"], ids: Sequence[str], how: str = "blur", seed: int = 0) -> Filler:
    """Return what puts something else in the place of pixels gone, in any copies of the images.

    Args:
        images: the network's input.
        ids: the images' names, which fix the noise.
        how: 'mean' (the image's mean colour), 'blur' or 'noisy_linear' (ROAD).
        seed: of the noise.

    Raises:
        InputError: `how` is unknown.
    """
    check_imputation(how)
    images = real(images, "images")
    if images.ndim != 4 or len(images) != len(ids) or 0 in images.shape:
        raise InputError(f"images are {tuple(images.shape)} of {len(ids)} names: (images, channels, h, w) are needed")
    return IMPUTATIONS[how](images, ids, seed)


def impute(
    images: Float[Tensor, "b ch H W"],
    gone: Bool[Tensor, "b H W"],
    ids: Sequence[str],
    how: str = "blur",
    seed: int = 0,
) -> Float[Tensor, "b ch H W"]:
    """Return the images with something else in the place of pixels gone; see `filler`."""
    images, gone = real(images, "images"), booleans(gone, "the pixels gone")
    if gone.shape != (len(images), *images.shape[2:]):
        raise InputError(
            f"the pixels gone are {tuple(gone.shape)} for images {tuple(images.shape)}: (b, h, w) are needed"
        )
    rows = torch.arange(len(images), device=images.device)
    return filler(images, ids, how, seed)(rows, gone.to(images.device))


@in_full_precision
def blurred(images: Float[Tensor, "b ch H W"], deviation: float) -> Float[Tensor, "b ch H W"]:
    """Return the images under a Gaussian of `deviation` pixels cut at three deviations, mirrored at the frame."""
    reach = min(max(1, round(3 * deviation)), min(images.shape[-2:]) - 1)
    at = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-at.square() / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1)
    soft = F.pad(images, (reach, reach, reach, reach), mode="reflect")
    soft = F.conv2d(soft, kernel[:, :, None], groups=images.shape[1])
    return F.conv2d(soft, kernel[..., None], groups=images.shape[1])


def solve(image: Array, mask: npt.NDArray[np.bool_]) -> Array:
    """Solve `sum_j w_ij x_j = (sum_j w_ij) x_i` for the pixels in the mask, over the neighbours j in the image.

    Args:
        image: `(ch, h, w)`.
        mask: the pixels gone, some but not all.

    Returns:
        Their values, `(ch, gone)`, in rows of the image.
    """
    h, w = mask.shape
    number = np.full((h, w), -1)
    number[mask] = np.arange(mask.sum())
    rows, columns = np.nonzero(mask)
    unknowns = number[mask]
    total = np.zeros(len(unknowns))
    right = np.zeros((len(unknowns), image.shape[0]))
    entries: list[tuple[npt.NDArray[np.int_], npt.NDArray[np.int_], Array]] = []
    for dy, dx in ((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx):
        weight = WEIGHTS[abs(dy) + abs(dx)]
        y, x = rows + dy, columns + dx
        in_image = (y >= 0) & (y < h) & (x >= 0) & (x < w)
        total += weight * in_image
        y, x, unknown_at = y[in_image], x[in_image], unknowns[in_image]
        inside = mask[y, x]
        entries.append((unknown_at[inside], number[y[inside], x[inside]], np.full(int(inside.sum()), -weight)))
        right[unknown_at[~inside]] += weight * image[:, y[~inside], x[~inside]].T  # each pixel once in this direction
    entries.append((unknowns, unknowns, total))
    i, j, values = (np.concatenate(arrays) for arrays in zip(*entries, strict=True))
    matrix = scipy.sparse.csc_matrix((values, (i, j)), shape=(len(unknowns), len(unknowns)))
    # Symmetric and diagonally dominant: no pivoting is needed, and the ordering for such matrices fills in less.
    factors = scipy.sparse.linalg.splu(
        matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    values_gone: Array = factors.solve(right).T
    return values_gone


def _standing(images: Float[Tensor, "b ch H W"], other: Float[Tensor, "b ch H W"]) -> Filler:
    return lambda rows, gone: torch.where(gone[:, None], other[rows], images[rows])
