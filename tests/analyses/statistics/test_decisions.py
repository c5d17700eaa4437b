"""What is decided from an interval is not the generator's that drew its resamples."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from analyses.statistics.decisions import SURE, end_errors, near, side
from analyses.statistics.intervals import bootstrap_interval

ROOT = Path(__file__).parents[3]
DECIDING = {
    "analyses/statistics/combined.py": {"Combined.is_above"},
    "analyses/statistics/decisions.py": {"side"},
    "analyses/paper/claims/verdicts.py": {"region"},
}
"""`side`, and functions beside it that ask on which side of a border an end lies, with the noise that was measured."""
OTHERS = {
    "analyses/paper/claims/operating.py": {"characteristics"},
    "analyses/paper/levels.py": {"_scale"},
    "analyses/plots/forest.py": {"_scale"},
    "analyses/plots/method_heatmaps.py": {"_scale"},
    "analyses/plots/specifications.py": {"_curve"},
    "analyses/plots/violins.py": {"_draw_panel", "window"},
    "analyses/questions/robustness.py": {"_logarithmic"},
    "analyses/reading/files.py": {"Outline.may_have", "check"},
    "analyses/reading/small_maps.py": {"averaged"},
    "analyses/site/across.py": {"timing"},
}
"""Functions whose ends are of axes, of what a file may hold, of a picture, or quartiles of timings: of no resamples.

Or of simulations, whose truth is known.
"""
ENDS = ("low", "high", "ends")
INTERVALS = ("interval", "intervals")
"""What has ends as its items: `interval[1]`."""
NO_ENDS = ("side", "near", "len")
"""Functions of ends whose answer is none."""


def test_an_interval_lies_beyond_a_border_by_more_than_its_noise() -> None:
    # half the width is 0.5: an error of 0.02 at 2,000 resamples, of which four are kept
    assert side((1.0, 0.5, 1.5), 0.41) == 1
    assert side((1.0, 0.5, 1.5), 0.43) == 0
    assert side((1.0, 0.5, 1.5), 1.57) == 0
    assert side((1.0, 0.5, 1.5), 1.59) == -1
    assert side((1.0, 0.5, 1.5), 1.0) == 0
    assert side((1.0, 0.5, 1.5), 0.45, resamples=32_000) == 1
    assert side((1.0, 0.5, 1.5), 0.41, resamples=1000) == 0
    np.testing.assert_array_equal(side(([1, -1, np.nan], [0.5, -1.5, np.nan], [1.5, -0.5, np.nan])), [1, -1, 0])
    assert side((np.nan, 0.5, 1.0)) == 0
    assert side((1.0, 1.0, 1.0), 0.9) == 1, "what does not vary has no noise"


def test_the_error_is_of_half_the_width_or_of_the_longer_half() -> None:
    np.testing.assert_allclose(end_errors(1.0, 0.5, 1.5), [0.02, 0.02])
    np.testing.assert_allclose(end_errors(0.6, 0.5, 1.5), [0.02, 0.036])
    np.testing.assert_allclose(end_errors(0.9, 0.5, 0.9), [0.016, 0.008])
    np.testing.assert_allclose(end_errors([1.0], [0.5], [1.5], 8000), [[0.01], [0.01]])


def test_near_is_on_either_side() -> None:
    np.testing.assert_array_equal(near([1.05, 1.03, 0.97, 0.95], 1.0, 0.01), [False, True, True, False])
    np.testing.assert_array_equal(near([1.05, 1.05], 1.0, [0.01, 0.02]), [False, True])
    assert SURE == 4


@pytest.mark.parametrize("skewed", [False, True])
def test_no_generator_decides_where_the_border_is_the_end(skewed: bool) -> None:
    """The worst border: the end that any number of resamples would have."""
    rng = np.random.default_rng(3)
    effects = rng.normal(size=(3, 1)), rng.normal(size=(1, 40)), 0.5 * rng.normal(size=(3, 40))
    values = sum(np.exp(effect) if skewed else effect for effect in effects)
    ends = np.array([bootstrap_interval(values, np.random.default_rng(state), 2000) for state in range(100)])
    for end, sign in ((1, 1), (2, -1)):
        border = float(ends[:, end].mean())
        beyond = (ends[:, end] - border) * sign > 0
        assert 0.2 < beyond.mean() < 0.8, "the generator would decide"
        assert not side(ends.T, border).any()
        assert (side(ends.T, border - sign * 0.4 * np.ptp(ends[0, 1:])) == sign).all(), "far from it all decide alike"


def ended(node: ast.AST) -> bool:
    """Whether an expression names an end of an interval: `low`, `x.high.min()`, `row["rho_low"]`, `interval[1]`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NO_ENDS:
        return False
    if isinstance(node, ast.Subscript) and named(node.value) in INTERVALS:
        return True
    own = named(node)
    return own in ENDS or own.endswith(("_low", "_high")) or any(ended(one) for one in ast.iter_child_nodes(node))


def named(node: ast.AST) -> str:
    """The name, attribute or text that an expression is; '' for any other."""
    name = {ast.Name: "id", ast.Attribute: "attr", ast.Constant: "value"}.get(type(node))
    return str(getattr(node, name)) if name else ""


def compared(tree: ast.Module) -> dict[str, int]:
    """The functions that compare an end with something, by their names, and the lines."""
    found = {}

    def visit(node: ast.AST, inside: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = inside
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                name = f"{inside}.{child.name}".removeprefix(".")
            ordered = isinstance(child, ast.Compare) and any(
                isinstance(op, (ast.Lt, ast.Gt, ast.LtE, ast.GtE)) for op in child.ops
            )
            if ordered and any(ended(one) for one in (child.left, *child.comparators)):
                found.setdefault(inside, child.lineno)
            visit(child, name)

    visit(tree, "")
    return found


def test_ends_are_compared_with_borders_in_one_place() -> None:
    asked, unused = [], {f"{file} {name}" for names in (DECIDING, OTHERS) for file in names for name in names[file]}
    for path in sorted((ROOT / "analyses").rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        allowed = DECIDING.get(file, set()) | OTHERS.get(file, set())
        found = compared(ast.parse(path.read_text()))
        asked += [f"{file}:{line} {name}: ask `decisions.side`" for name, line in found.items() if name not in allowed]
        unused -= {f"{file} {name}" for name in found}
    assert asked == []
    assert unused == set(), "no longer there"


def test_a_comparison_with_an_end_is_found() -> None:
    text = "def told(row, low):\n    return row['rho_low'] > 0 or low < 1\ndef other(row):\n    return row['rho'] > 0\n"
    assert compared(ast.parse(text)) == {"told": 2}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ends[0] > 0", True),
        ("self.ends[1].max() < 1", True),
        ("interval[1] > border", True),
        ("result.interval[2] < 0", True),
        ("rows['rho_low'].min() > 0", True),
        ("rows[['low', 'high']].max().max() <= 0", True),
        ("frame[f'{name}_low'].min() >= 0", True),
        ("len(ends) > 1", False),
        ("values.min() > 0", False),
        ("interval is None or x > 0", False),
        ("side(ends) > 0", False),
        ("ends[0] == 'left'", False),
    ],
)
def test_ends_are_found_in_every_form(text: str, found: bool) -> None:
    assert bool(compared(ast.parse(text))) == found
