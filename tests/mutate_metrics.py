"""Changes the formula of every metric, one place at a time, and says which changes no test notices.

    python tests/mutate_metrics.py                      # all of segcam/metrics: some minutes
    python tests/mutate_metrics.py iou gini --limit 5   # some files, five places spread over each

Signs, operators, comparisons, constants, reductions and bounds are changed. Each change runs in a process of its own,
in which the changed source is what gets imported, against the tests of metrics, until the first of them fails. A
change that all tests pass is a survivor; EQUIVALENT names those that change no result, with the reason. The script
ends with 1 where there is any other.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch  # noqa: F401  (before the fork, so that each process has it at once)

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "segcam.metrics"
FILES = sorted(p.stem for p in (ROOT / "segcam" / "metrics").glob("*.py") if p.stem not in ("__init__", "attention"))
TESTS = (
    "tests/contract/test_metric_answers.py",
    "tests/segcam/metrics/test_metrics.py",
    "tests/segcam/metrics/test_peers.py",
)
QUIET = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--no-header", "--tb=no")

EQUIVALENT = {
    "pointing: (tied * share).sum((2, 3)) -> (tied * share).mean((2, 3))": "a ratio is taken of two such",
}
"""Changes that no test can notice, by what is printed of them, with the reason."""

COMPARED = (ast.Lt, ast.GtE, ast.Gt, ast.LtE, ast.Eq, ast.NotEq)
SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    **dict(
        zip(
            (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.MatMult),
            (ast.Sub, ast.Add, ast.Div, ast.Mult, ast.Mult),
            strict=True,
        )
    ),
    **dict(zip(COMPARED, (ast.GtE, ast.Lt, ast.LtE, ast.Gt, ast.NotEq, ast.Eq), strict=True)),
    **dict(zip((ast.BitAnd, ast.BitOr, ast.BitXor), (ast.BitOr, ast.BitAnd, ast.BitAnd), strict=True)),
}
CALLS = {"sum": "mean", "mean": "sum", "amax": "amin", "amin": "amax", "all": "any", "any": "all", "square": "abs"}
CALLS |= {"log2": "sqrt", "sqrt": "square", "argmax": "argmin", "flip": "contiguous", "cumsum": "cummax"}
SIDES = {"foreground": "background", "background": "foreground"}
SIDES |= {f"{one}_{what}": f"{two}_{what}" for one, two in list(SIDES.items()) for what in ("pixels", "share")}


@dataclass(frozen=True)
class Mutant:
    """One changed place.

    Attributes:
        file: of the metric.
        number: of the place in the file.
        line: where.
        what: the change.
    """

    file: str
    number: int
    line: int
    what: str

    def __str__(self) -> str:
        """Return what is printed of it."""
        return f"{self.file}: {self.what}"


class Changer(ast.NodeTransformer):
    """Finds the places that can be changed, and changes the one that is asked for."""

    def __init__(self, file: str, wanted: int = -1) -> None:
        self.file = file
        self.wanted = wanted
        self.found: list[Mutant] = []

    def _offer(self, node: ast.AST, changed: ast.AST) -> ast.AST:
        number = len(self.found)
        what = f"{ast.unparse(node)} -> {ast.unparse(changed)}"
        self.found.append(Mutant(self.file, number, getattr(node, "lineno", 0), what))
        return ast.copy_location(changed, node) if number == self.wanted else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Change reductions."""
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
            changed = copy.deepcopy(node)
            assert isinstance(changed.func, ast.Attribute)
            changed.func.attr = CALLS[node.func.attr]
            return self._offer(node, changed)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Change arithmetic."""
        self.generic_visit(node)
        if type(node.op) not in SWAPPED:
            return node
        changed = copy.deepcopy(node)
        changed.op = SWAPPED[type(node.op)]()  # type: ignore[assignment]
        return self._offer(node, changed)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """Turn comparisons round."""
        self.generic_visit(node)
        if type(node.ops[0]) not in SWAPPED:
            return node
        changed = copy.deepcopy(node)
        changed.ops[0] = SWAPPED[type(node.ops[0])]()  # type: ignore[call-overload]
        return self._offer(node, changed)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """Leave out a sign or a not."""
        self.generic_visit(node)
        if isinstance(node.op, (ast.USub, ast.Invert, ast.Not)) and not isinstance(node.operand, ast.Constant):
            return self._offer(node, node.operand)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Take the other side of the mask."""
        self.generic_visit(node)
        if node.attr in SIDES:
            changed = copy.deepcopy(node)
            changed.attr = SIDES[node.attr]
            return self._offer(node, changed)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Change factors; dimensions are left alone, for another one is an error at once."""
        if isinstance(node.value, float) and not isinstance(node.value, bool):
            return self._offer(node, ast.Constant(2 * node.value + 0.1))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Leave annotations and decorators alone."""
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Leave annotations alone."""
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """Leave docstrings alone."""
        return node if isinstance(node.value, ast.Constant) else self.generic_visit(node)


def changed(file: str, number: int = -1) -> tuple[ast.Module, list[Mutant]]:
    """Return a file's tree with one place changed, and all its places."""
    path = ROOT / "segcam" / "metrics" / f"{file}.py"
    changer = Changer(file, number)
    tree = changer.visit(ast.parse(path.read_text(encoding="utf-8")))
    return ast.fix_missing_locations(tree), changer.found


class Importer(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a changed tree."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name = name
        self.tree = tree

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Find that module alone."""
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed code."""
        exec(compile(self.tree, f"{self.name} (changed)", "exec"), module.__dict__)


def survives(mutant: Mutant, tests: Sequence[str] = TESTS) -> bool:
    """Return whether all tests pass with the change."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_judge, args=(mutant, tests))
    process.start()
    process.join()
    return process.exitcode == 0


def _judge(mutant: Mutant, tests: Sequence[str]) -> None:
    import pytest

    if any(name.startswith("segcam") for name in sys.modules):
        os._exit(3)  # the change would not be seen
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    tree, _ = changed(mutant.file, mutant.number)
    sys.meta_path.insert(0, Importer(f"{PACKAGE}.{mutant.file}", tree))
    os._exit(0 if pytest.main([*QUIET, *tests]) == 0 else 1)


def chosen(files: Sequence[str], limit: int | None) -> Iterator[Mutant]:
    """Yield the places of some files: all of them, or `limit` spread evenly over each."""
    for file in files:
        _, found = changed(file)
        if limit is not None and limit < len(found):
            found = [found[(2 * i + 1) * len(found) // (2 * limit)] for i in range(limit)]
        yield from found


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the changes asked for and report the survivors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help=f"of segcam/metrics; all by default: {', '.join(FILES)}")
    parser.add_argument("--limit", type=int, help="places a file")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.files) - set(FILES)):
        parser.error(f"no metric file {', '.join(unknown)}: there are {', '.join(FILES)}")
    mutants = list(chosen(asked.files or FILES, asked.limit))
    if not survives(Mutant(mutants[0].file, -1, 0, "nothing")):
        tell("the tests fail as they are: mend them first")
        return 1
    unnoticed, same = [], 0
    for number, mutant in enumerate(mutants, 1):
        told = f"{mutant.file}.py:{mutant.line}  {mutant.what}"
        if str(mutant) in EQUIVALENT:
            same += 1
            tell(f"[{number}/{len(mutants)}] changes nothing ({EQUIVALENT[str(mutant)]}): {told}")
        elif survives(mutant):
            unnoticed.append(told)
            tell(f"[{number}/{len(mutants)}] SURVIVED: {told}")
        else:
            tell(f"[{number}/{len(mutants)}] noticed: {told}")
    tried = len(mutants) - same
    tell(f"{tried - len(unnoticed)} of {tried} changes noticed, {len(unnoticed)} survived, {same} change nothing")
    for told in unnoticed:
        tell(f"  {told}")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
