"""What belongs together: files with formulas, and the tests that hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.places import ROOT


@dataclass(frozen=True)
class Area:
    """Files and their tests.

    Attributes:
        files: paths or patterns, from the root of the repository; a file's own doctests are among its tests.
        tests: files and folders, the cheap ones first.
        left: files among these that hold no formula.
    """

    files: tuple[str, ...]
    tests: tuple[str, ...]
    left: tuple[str, ...] = ()

    def paths(self) -> Iterator[str]:
        """Yield the files' paths, from the root of the repository."""
        left = {path for pattern in self.left for path in _match(pattern)}
        for pattern in self.files:
            yield from (path for path in _match(pattern) if path not in left)


AREAS: dict[str, Area] = {
    "windows": Area(
        ("segcam/probe/gradients/windows.py", "segcam/probe/gradients/local_gradients.py"),
        ("tests/segcam/probe/gradients/test_local_gradients.py",),
    ),
    "rounding": Area(
        ("segcam/probe/gradients/rounding.py", "segcam/probe/gradients/scaling.py"),
        ("tests/segcam/probe/gradients/test_rounding.py", "tests/segcam/probe/gradients/test_precision.py"),
    ),
    "probe": Area(
        ("segcam/probe/gradients/backward.py", "segcam/probe/gradients/saving.py", "segcam/probe/memory.py"),
        (
            "tests/segcam/probe/gradients/test_local_gradients.py",
            "tests/segcam/probe/gradients/test_precision.py",
            "tests/segcam/probe/test_probe.py",
            "tests/segcam/probe/test_memory.py",
        ),
    ),
    "statistics": Area(
        ("analyses/statistics/*.py",), ("tests/analyses/statistics", "tests/analyses/test_intervals.py")
    ),
    "claims": Area(
        (
            "analyses/paper/claims/verdicts.py",
            "analyses/paper/claims/values.py",
            "analyses/paper/claims/sizes.py",
            "analyses/paper/claims/evaluation.py",
            "analyses/paper/claims/multiverse.py",
            "analyses/paper/claims/operating.py",
            "analyses/paper/claims/decided.py",
        ),
        (
            "tests/analyses/paper/test_values.py",
            "tests/analyses/paper/test_registration.py",
            "tests/analyses/paper/test_operating.py",
            "tests/analyses/paper/test_sizes.py",
            "tests/analyses/paper/test_others_claims.py",
            "tests/analyses/paper/test_claims.py",
        ),
    ),
    "metrics": Area(
        ("segcam/metrics/*.py",),
        (
            "tests/contract/test_metric_answers.py",
            "tests/segcam/metrics/test_metrics.py",
            "tests/segcam/metrics/test_attention.py",
            "tests/segcam/metrics/test_peers.py",
        ),
        left=("segcam/metrics/__init__.py",),
    ),
    "scoring": Area(
        ("segcam/scoring/*.py", "segcam/samples.py"),
        (
            "tests/segcam/scoring",
            "tests/segcam/test_samples.py",
            "tests/segcam/metrics/test_metrics.py",
            "tests/contract/test_metric_answers.py",
        ),
    ),
    "methods": Area(
        ("segcam/methods/*.py", "segcam/methods/material/*.py"),
        (
            "tests/segcam/methods/test_graph.py",
            "tests/segcam/methods/test_controls.py",
            "tests/contract/test_methods.py",
            "tests/segcam/methods/test_peer_traps.py",
            "tests/segcam/methods/test_cam.py",
            "tests/segcam/methods/test_gradient_free.py",
            "tests/segcam/methods/test_attention_rollout.py",
        ),
        left=("segcam/methods/__init__.py", "segcam/methods/material/superpixels.py"),
    ),
    "masked": Area(
        ("segcam/methods/masked/*.py", "segcam/methods/fusions/*.py"),
        ("tests/segcam/methods/test_masked.py", "tests/segcam/methods/test_fusions.py"),
    ),
    "groups": Area(("segcam/groups/*.py",), ("tests/segcam/test_groups.py",)),
    "targets": Area(("segcam/probe/targets/*.py",), ("tests/segcam/probe/targets",)),
    "placement": Area(
        ("segcam/probe/placement/*.py", "segcam/probe/layouts/*.py"),
        ("tests/segcam/probe/placement", "tests/segcam/probe/layouts"),
    ),
    "faithfulness": Area(("segcam/checks/faithfulness/*.py",), ("tests/segcam/checks/test_faithfulness.py",)),
    "sanity": Area(
        ("segcam/checks/*.py",),
        tuple(
            f"tests/segcam/checks/test_{name}.py"
            for name in ("sanity", "diagnosis", "leakage", "distance", "confidence", "mistakes", "robustness")
        ),
    ),
}


def _match(pattern: str) -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


def area_of(file: str) -> str:
    """Return the area of a file that has one."""
    return next(name for name, area in AREAS.items() if file in area.paths())


def files_of(asked: str) -> list[str] | None:
    """Return the files of an area, of a folder, or a file itself; None where there is none with formulas."""
    if asked in AREAS:
        return list(AREAS[asked].paths())
    path = Path(asked).as_posix()
    every = [file for area in AREAS.values() for file in area.paths()]
    return [file for file in every if file == path or file.startswith(f"{path}/")] or None
