"""Sanity checks: networks whose weights are made random step by step, and how far maps stay as they were.

A map that is to explain a network has to change when the network's weights do. Source: Adebayo et al., NeurIPS 2018,
'Sanity Checks for Saliency Maps'.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call

from segcam.errors import InputError, ProbeError, unknown
from segcam.probe.hooks import frozen
from segcam.scoring.normalise import ascending

WINDOW = 7
"""Side of the window of `ssim`, in cells."""
C1, C2 = 0.01**2, 0.03**2
"""What keeps SSIM finite, for values from 0 to 1 (Wang et al. 2004)."""

Step: TypeAlias = tuple[str, ...]
"""Paths of modules that are made random together."""


def execution_order(model: nn.Module, images: Float[Tensor, "b ch h w"]) -> list[Step]:
    """Return the modules that hold weights in the order in which they first run, so that the output's come last.

    A step is a module with parameters or running statistics of its own. Two kinds join another one's step:

    - a normalisation (a class with 'Norm' in its name) that of the module with weights that ran before it, since
      statistics of the old weights mean nothing behind new ones;
    - a module that does not run itself, because one around it uses its weights (the projection in
      `nn.MultiheadAttention`), that of the nearest one around it that runs.

    A module with weights of its own and modules inside counts from when it begins: a position embedding comes before
    the blocks.

    Args:
        model: the network; it runs once, in eval mode, and is as before afterwards.
        images: its input; one image is enough.

    Returns:
        The steps from the input to the output; together they are all modules with weights.

    Raises:
        ProbeError: the network has no weights.
    """
    began = _began(model, images)
    members: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        if _holds_weights(module):
            members.setdefault(_running(name, began), []).append(name)
    if not members:
        raise ProbeError("the network has no weights, so that there are none to make random")
    steps: list[Step] = []
    for name in began:
        if name in members:
            joins = bool(steps) and "Norm" in type(model.get_submodule(name)).__name__
            before = steps.pop() if joins else ()
            steps.append((*before, *members[name]))
    return steps


def cascading(order: Sequence[Step]) -> list[Step]:
    """Return what is random after each step from the output to the input: its own modules and all behind them."""
    return [tuple(name for step in order[at:] for name in step) for at in range(len(order) - 1, -1, -1)]


def independent(order: Sequence[Step]) -> list[Step]:
    """Return what is random where one step at a time is, from the output to the input."""
    return list(reversed(order))


def evenly(count: int, most: int) -> list[int]:
    """Return at most `most` of the numbers 0 to `count - 1`, evenly spread, the first and the last among them.

    >>> evenly(19, 4), evenly(3, 8), evenly(5, 1)
    ([0, 6, 12, 18], [0, 1, 2], [4])
    """
    if most < 2 or count < 2:
        return [count - 1] if count and most else []
    number = min(count, most)
    return [round(i * (count - 1) / (number - 1)) for i in range(number)]


def randomised(model: nn.Module, modules: Iterable[str], seed: int = 0) -> nn.Module:
    """Return a copy of a network in which some modules have new weights; the network itself is not touched.

    New weights are those of the module's own `reset_parameters`, as before any training: of a normalisation ones,
    zeros and the running statistics it began with. Where a module has no such function, the values of each of its
    parameters are permuted; a parameter whose values are all equal then stays as it is.

    Args:
        model: the network.
        modules: their paths, as in `model.named_modules()`.
        seed: of the new weights. A module's depend on it and on the module's path alone, so that a module has the same
            new weights whichever others are random. Global random state is neither used nor changed.

    Raises:
        InputError: the network has no such module.
    """
    names = list(dict.fromkeys(modules))
    known = dict(model.named_modules())
    for name in names:
        if name not in known:
            raise unknown("module", name, known)
    fresh = copy.deepcopy(model)
    for name in names:
        _renew(fresh.get_submodule(name), int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:7], "big"))
    return fresh


def spearman(
    first: Float[Tensor, "b m h w"], second: Float[Tensor, "b m h w"], where: Bool[Tensor, "b h w"] | None = None
) -> Float[Tensor, "b m"]:
    """Return Spearman's rank correlation of the cells of two maps, pair by pair; equal values share their mean rank.

    With the ranks `r` of a map's cells it is `cov(r1, r2) / sqrt(var r1 var r2)`.

    Args:
        first: maps, not negative.
        second: other maps of the same shape.
        where: the cells that are compared; all by default.

    Returns:
        -1..1; 1 for maps of the same order. NaN where a map is blank, undefined (NaN or infinity) or constant up to
        rounding, and where fewer than two cells are compared or one map's are all equal.

    Raises:
        InputError: the maps differ in shape.

    Source: Adebayo et al., NeurIPS 2018, section 3 (there of absolute values; maps are not negative here).
    """
    _check(first, second)
    b, _, h, w = first.shape
    inside = torch.ones(b, 1, h * w, device=first.device) if where is None else where.flatten(1)[:, None]
    weights = inside.double()
    number = weights.sum(2, keepdim=True)
    centred = []
    for maps in (first, second):
        cells = maps if where is None else maps.masked_fill(~where[:, None], torch.inf)  # last in order
        own = ranks(cells).flatten(2)
        centred.append((own - (own * weights).sum(2, keepdim=True) / number) * weights)
    variances = [own.square().sum(2) for own in centred]
    found = (centred[0] * centred[1]).sum(2) / (variances[0] * variances[1]).sqrt()  # equal ranks: 0 / 0
    return found.clamp(-1, 1).masked_fill(_flat(first) | _flat(second), torch.nan)


def ranks(maps: Float[Tensor, "b m h w"]) -> Float[Tensor, "b m h w"]:
    """Return the rank of each cell in its map from 1, equal values with the mean of their ranks, in float64.

    Ranks of a map that holds NaN mean nothing.
    """
    cells = maps.flatten(2).contiguous()
    ordered = ascending(cells)
    below = torch.searchsorted(ordered, cells)
    upto = torch.searchsorted(ordered, cells, right=True)
    return ((below + upto + 1).double() / 2).view(maps.shape)


def ssim(
    first: Float[Tensor, "b m h w"], second: Float[Tensor, "b m h w"], window: int = WINDOW
) -> Float[Tensor, "b m"]:
    """Return the structural similarity of two maps, each divided by its maximum, pair by pair.

    In each window of equal weights that lies within the map,

        (2 u1 u2 + C1) (2 s12 + C2) / ((u1^2 + u2^2 + C1) (s1^2 + s2^2 + C2))

    of the means `u`, variances `s^2` and covariance `s12` (over `n - 1`), with C1 = 0.01^2 and C2 = 0.03^2; then the
    mean over the windows. It is `skimage.metrics.structural_similarity` with `data_range=1`.

    Args:
        first: maps, not negative.
        second: other maps of the same shape.
        window: side of the window, in cells. On a grid with a shorter side the largest odd number is taken that fits.

    Returns:
        -1..1; 1 for equal maps. NaN where a map is blank, undefined or constant up to rounding, and on grids with a
        side of less than three cells.

    Raises:
        InputError: the maps differ in shape, or the window is no odd number from 3.

    Source: Wang et al., IEEE Transactions on Image Processing 2004, equation 13.
    """
    _check(first, second)
    if window < 3 or window % 2 == 0:
        raise InputError(f"the window of SSIM is {window}: an odd number of cells from 3 is needed")
    side = min(window, *first.shape[2:])
    side -= side % 2 == 0
    if side < 3:
        return torch.full(first.shape[:2], torch.nan, dtype=torch.float64, device=first.device)
    one, two = (maps.double() / maps.double().amax((2, 3), keepdim=True) for maps in (first, second))
    mean_1, mean_2, square_1, square_2, product = (
        _windows(values, side) for values in (one, two, one.square(), two.square(), one * two)
    )
    wider = side**2 / (side**2 - 1)  # from the mean over n to that over n - 1
    spread = wider * (square_1 - mean_1.square() + square_2 - mean_2.square())
    shared = wider * (product - mean_1 * mean_2)
    above = (2 * mean_1 * mean_2 + C1) * (2 * shared + C2)
    found: Tensor = (above / ((mean_1.square() + mean_2.square() + C1) * (spread + C2))).mean((2, 3))
    return found.masked_fill(_flat(first) | _flat(second), torch.nan)


def _windows(values: Float[Tensor, "b m h w"], side: int) -> Float[Tensor, "b m h2 w2"]:
    """Return the mean of each window within the map; of rows first, which takes fewer steps than of cells."""
    found: Tensor = F.avg_pool2d(F.avg_pool2d(values, (side, 1), stride=1), (1, side), stride=1)
    return found


def _flat(maps: Float[Tensor, "b m h w"]) -> Bool[Tensor, "b m"]:
    """Return which maps are blank, undefined or constant up to rounding."""
    top, bottom = maps.amax((2, 3)), maps.amin((2, 3))
    return ~(top > 0) | ~top.isfinite() | (top - bottom <= 8 * torch.finfo(maps.dtype).eps * top)


def _check(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.ndim != 4:
        raise InputError(
            f"maps of {tuple(first.shape)} and {tuple(second.shape)} cannot be compared: give equal shapes, "
            "(images, maps, h, w)"
        )


def _began(model: nn.Module, images: Float[Tensor, "b ch h w"]) -> list[str]:
    """Return the paths of the modules that run, in the order in which they first begin."""
    began: dict[str, None] = {}

    def noted(name: str) -> Callable[[nn.Module, object], None]:
        return lambda _module, _inputs: began.setdefault(name)

    handles = [module.register_forward_pre_hook(noted(name)) for name, module in model.named_modules()]
    try:
        with frozen(model) as own, torch.no_grad():
            functional_call(model, own, (images.clone(),))  # the network may write into its input
    finally:
        for handle in handles:
            handle.remove()
    return list(began)


def _holds_weights(module: nn.Module) -> bool:
    own = next(module.parameters(recurse=False), None)
    return own is not None or getattr(module, "running_mean", None) is not None


def _running(name: str, began: Sequence[str]) -> str:
    """Return the module itself where it runs, else the nearest one around it that does."""
    while name and name not in began:
        name = name.rpartition(".")[0]
    return name


@torch.no_grad()
def _renew(module: nn.Module, seed: int) -> None:
    """Give a module new weights, drawn on the processor: the same ones on every device."""
    place = next((t.device for t in (*module.parameters(), *module.buffers())), torch.device("cpu"))
    module.cpu()
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the processor's alone: that of GPUs is not forked
        if reset is not None:
            reset()
        else:
            for values in module.parameters(recurse=False):
                values.copy_(values.flatten()[torch.randperm(values.numel())].view(values.shape))
    module.to(place)
