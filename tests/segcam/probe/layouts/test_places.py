"""What axes run over: cells of the image, constants, or not known, followed from operation to operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from segcam.probe.layouts.places import Axis, Places, merged, nowhere


class Following(TorchDispatchMode):
    def __init__(self, places: Places) -> None:
        super().__init__()
        self.places = places

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.places.follow(func, args, out)
        return out


CONV = nn.Conv2d(3, 8, 4, stride=4)
QUERIES = nn.Parameter(torch.randn(5, 8))
SQUARE = nn.Parameter(torch.randn(6, 6))


def axes(run: Callable[[Tensor, Tensor], Tensor]) -> tuple[Axis, ...] | None:
    """What the axes of a result run over that is made of features `(2, 8, 2, 3)` and tokens `(2, 6, 8)`."""
    places = Places()
    for weight in (*CONV.parameters(), QUERIES, SQUARE):
        places.lies_nowhere(weight)
    images = torch.randn(2, 3, 8, 12)
    with torch.no_grad(), Following(places):
        grid = CONV(images)
        result = run(grid, grid.flatten(2).transpose(1, 2))
        return places.of(result)


def queries(batch: int) -> Tensor:
    return QUERIES[None].repeat(batch, 1, 1)


def attended(x: Tensor, tokens: Tensor) -> Tensor:
    return (x @ tokens.transpose(1, 2)).softmax(-1) @ tokens


def fused(x: Tensor, tokens: Tensor) -> Tensor:
    heads = [one.unflatten(2, (2, 4)).transpose(1, 2) for one in (x, tokens, tokens)]
    return nn.functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)


def written(grid: Tensor, tokens: Tensor) -> Tensor:
    kept = torch.zeros(2, 6, 8)
    kept[:, :3] = tokens[:, :3]
    return kept


PLACED: dict[str, tuple[int, Callable[[Tensor, Tensor], Tensor]]] = {
    "tokens": (1, lambda _, tokens: tokens),
    "behind a position that is learnt": (1, lambda _, tokens: tokens + torch.randn(1, 6, 8)),
    "behind mixing of channels": (1, lambda _, tokens: (tokens @ torch.randn(8, 4)).relu()),
    "of an image's attention to itself": (1, lambda _, tokens: attended(tokens, tokens)),
    "of fused attention": (
        1,
        lambda _, t: nn.functional.scaled_dot_product_attention(t[:, None], t[:, None], t[:, None])[:, 0],
    ),
    "before the batch": (0, lambda _, tokens: tokens.permute(1, 0, 2)),
    "of an attention to queries": (1, lambda _, tokens: attended(tokens, queries(2))),
}


@pytest.mark.parametrize("case", PLACED)
def test_tokens_run_over_cells(case: str) -> None:
    axis, run = PLACED[case]
    found = axes(run)
    assert found is not None
    assert found[axis] == ((2, "row"), (3, "column"))
    assert merged(found[axis])


NOWHERE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "queries": lambda _, tokens: queries(len(tokens)),
    "that looked at the image": lambda _, tokens: queries(2) + attended(queries(2) * 2, tokens),
    "of fused attention": lambda _, tokens: fused(queries(2), tokens),
    "of numbers written down": lambda _, tokens: torch.tensor([[[0.5]] * 5] * 2) + attended(queries(2) * 1, tokens),
    "joined": lambda _, tokens: torch.cat([attended(queries(2) * 1, tokens), queries(2), tokens.mean(1, True)], 1),
}


@pytest.mark.parametrize("case", NOWHERE)
def test_queries_lie_nowhere(case: str) -> None:
    found = axes(NOWHERE[case])
    assert found is not None
    assert nowhere(found[1])


UNKNOWN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mixed by a weight": lambda _, tokens: (tokens.transpose(1, 2) @ SQUARE).transpose(1, 2),
    "mixed by a weight on the left": lambda _, tokens: SQUARE @ tokens,
    "joined with queries": lambda _, tokens: torch.cat([queries(2), tokens], 1),
    "written into zeros": written,
    "sorted": lambda _, tokens: tokens.sort(1)[0],
    "in windows": lambda grid, _: grid.unflatten(3, (1, 3)).unflatten(2, (2, 1)).flatten(2)[:, :, :4].transpose(1, 2),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_is_not_known_is_not_refused(case: str) -> None:
    found = axes(UNKNOWN[case])
    assert found is None or not (nowhere(found[1]) or merged(found[1]))


def test_what_is_written_into_is_forgotten_with_all_its_views() -> None:
    places, images = Places(), torch.randn(2, 3, 8, 12)
    with torch.no_grad(), Following(places):
        tokens = CONV(images).flatten(2).transpose(1, 2)
        kept = torch.zeros(2, 6, 8)
        view, other = kept[:, :3], torch.zeros(2, 6, 8)
        assert places.of(view) == (((2, "constant"),), ((3, "constant"),), ((8, "constant"),))
        view.copy_(torch.ones(2, 3, 8))
        assert places.of(kept) is not None  # constants into a constant
        view.copy_(tokens[:, :3])
    assert places.of(kept) is places.of(view) is None
    assert places.of(other) is not None


def test_grids_of_tokens() -> None:
    places, images = Places(), torch.randn(1, 3, 8, 12)
    with torch.no_grad(), Following(places):
        grid = CONV(images)
        tokens = grid.flatten(2)
        turned = grid.transpose(2, 3).flatten(2)
    assert places.grid(tokens, 2) == (2, 3)
    assert places.grid(turned, 2) is None  # columns first
    assert places.grid(grid, 2) is None
