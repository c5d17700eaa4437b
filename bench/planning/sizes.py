"""What a profile's networks and batches take of memory, by arithmetic, before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

from bench.planning.plan import parameters
from bench.planning.profile import Profile
from segcam.memory import available, must_fit
from segcam.models import Value, architecture

COPIES = 5
"""Of a network's weights while it is trained: they, their gradients, two averages of AdamW's, and the mean of steps."""
FEW = 2**18
"""Pixels of a batch that no network of a sensible size is too large for: what they take is not looked into."""
FLOAT = 4


def fits(profile: Profile, model: str, classes: int, network: nn.Module) -> None:
    """See that a model can be trained and scored with the profile's batches and size of images.

    What is counted is the least: weights, and what a pass must keep for the way back.

    Args:
        profile: the run's.
        model: the model's name.
        classes: number of classes.
        network: the model's, on the CPU.

    Raises:
        InputError: it cannot; the message names the keys to lower.
    """
    size, recipe = profile.data.size, profile.recipe(model)
    shown = min(profile.score.batch_size, profile.score.shard)
    values = tuple(parameters(profile, model).items())
    weights = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    free = _free()
    must_fit(
        f"training '{model}', with the averages that its optimiser keeps,",
        COPIES * weights,
        f"choose a smaller network with models.{model}",
        free,
    )
    pixels, lower = size * size, f"data.size, or choose a smaller network with models.{model}"
    if (batch := recipe.batch_size) * pixels > FEW:
        kept = _kept(model, classes, values, size) or FLOAT * 3 * pixels
        must_fit(
            f"training '{model}' with train.batch_size = {batch} images of data.size = {size} pixels a side",
            COPIES * weights + batch * kept // (1 if recipe.precision == "fp32" else 2),
            f"lower train.batch_size or {lower}",
            free,
        )
    if shown * pixels > FEW:  # the probe keeps less than training does: images, logits and their gradients at least
        must_fit(
            f"scoring '{model}' with score.batch_size = {shown} images of data.size = {size} pixels a side",
            weights + shown * FLOAT * (3 + 2 * classes) * pixels // (1 if profile.score.precision == "fp32" else 2),
            f"lower score.batch_size or {lower}",
            free,
        )


def validation_fits(profile: Profile, images: int) -> None:
    """See that the validation images, which stay in memory, fit into it.

    Raises:
        InputError: they do not.
    """
    size = profile.data.size
    must_fit(
        f"validating {images} images of data.size = {size} pixels a side",
        images * FLOAT * 3 * size * size,
        "lower data.val or data.size",
        _free(),
    )


def _free() -> int | None:
    """Return the bytes that are free where there are most of them: on the machine, or on its GPU."""
    free = available()
    if free is not None and torch.cuda.is_available():
        return max(free, torch.cuda.mem_get_info()[0])
    return free


@lru_cache(maxsize=64)
def _kept(model: str, classes: int, values: tuple[tuple[str, Value], ...], size: int) -> int | None:
    """Return the bytes that a pass of one image keeps for the way back; None where that cannot be told beforehand."""
    from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: PLC0415  (slow to import)

    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            plugin = architecture(model)
            network = plugin.build(classes, {**plugin.defaults, **dict(values)})
        with FakeTensorMode(allow_non_fake_inputs=True):  # tensors of the CPU's, without data
            return _saved(
                network.to_empty(device="cpu"), lambda: torch.empty(1, int(dict(values).get("channels", 3)), size, size)
            )
    except Exception:  # a network that needs data: what it takes is seen when it runs
        return None


def _saved(network: nn.Module, image: Callable[[], Tensor]) -> int:
    """Return the bytes of the tensors, beside the weights, that autograd saves in a pass."""
    own = {tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers())}
    saved: dict[int, int] = {}

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage.nbytes()
        return tensor  # which keeps it alive, so that no other has its place

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        answer = network.eval()(image())
    assert answer is not None  # the graph lives until here
    return sum(size for place, size in saved.items() if place not in own)
