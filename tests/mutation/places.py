"""Places of a source that can be changed, and the source with one of them changed."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
COMPARISONS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_PAIRS = (
    ("sum", "mean"),
    ("nansum", "nanmean"),
    ("amax", "amin"),
    ("argmax", "argmin"),
    ("maximum", "minimum"),
    ("fmax", "fmin"),
    ("max", "min"),
    ("all", "any"),
    ("ceil", "floor"),
    ("rsqrt", "sqrt"),
)
CALLS = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}
CALLS |= {"square": "abs", "sqrt": "square", "log2": "sqrt", "exp2": "exp", "cumsum": "cummax", "std": "var"}
CALLS |= {"isnan": "isinf", "isfinite": "isnan", "logsumexp": "amax", "median": "mean", "hypot": "maximum"}
BUILT_IN = ("max", "min", "all", "any")
"""Of these, what is a function without a module in front."""
DROPPED = frozenset({"relu", "abs", "clamp", "clip", "masked_fill", "flip", "round", "hull"})
"""Methods whose call becomes what they are called on."""
BOUNDED = frozenset({"max", "min", "maximum", "minimum", "clamp", "clip", "where", "masked_fill", "full", "full_like"})
"""Calls whose whole numbers are values, not dimensions."""
UNTOUCHED = frozenset({"keepdim", "keepdims", "strict", "copy", "retain_graph", "non_blocking"})
"""Arguments that change a shape, a cost or an error."""
SIDES = {"foreground": "background", "background": "foreground"}
SIDES |= {f"{one}_{what}": f"{other}_{what}" for one, other in list(SIDES.items()) for what in ("pixels", "share")}


@dataclass(frozen=True)
class Mutant:
    """One changed place.

    Attributes:
        file: its path, from the root of the repository.
        number: of the place in the file.
        line: where.
        function: around it, with its class; '' outside of any.
        what: the change.
    """

    file: str
    number: int
    line: int
    function: str
    what: str

    @property
    def key(self) -> str:
        """Return what names it whatever the lines above are."""
        return f"{self.file} {self.function}: {self.what}"

    def __str__(self) -> str:
        """Return what is printed of it."""
        return f"{self.file}:{self.line} {self.function}: {self.what}"


class Changer(ast.NodeTransformer):
    """Finds the places that can be changed, and changes the one that is asked for."""

    def __init__(self, file: str, wanted: int = -1) -> None:
        self.file = file
        self.wanted = wanted
        self.found: list[Mutant] = []
        self._around: list[str] = []

    def _offer(self, node: ast.AST, changes: Iterable[ast.AST]) -> ast.AST:
        """Count changes of a node, and return the one that is asked for, or else the node."""
        result = node
        for changed in changes:
            number = len(self.found)
            what = f"{ast.unparse(node)} -> {ast.unparse(changed)}"
            line = getattr(node, "lineno", 0)
            self.found.append(Mutant(self.file, number, line, ".".join(self._around), what))
            if number == self.wanted:
                result = ast.copy_location(changed, node)
        return result

    def _conditions(self, tests: Iterable[ast.expr]) -> list[ast.expr]:
        """Visit conditions; those that hold no place themselves are turned round."""
        return [self._condition(test) for test in tests]

    def _condition(self, test: ast.expr) -> ast.expr:
        changed: ast.AST = self.visit(test)
        if not isinstance(test, (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Constant)):
            changed = self._offer(changed, [ast.UnaryOp(ast.Not(), test)])
        assert isinstance(changed, ast.expr)
        return changed

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Change reductions, leave out bounds, exchange the sides of a choice."""
        self.generic_visit(node)
        function = node.func
        if _nan(node):
            return self._offer(node, [ast.Constant(0.0)])
        changes: list[ast.AST] = []
        if isinstance(function, ast.Attribute) and function.attr in CALLS:
            changes.append(_with(node, func=_with(function, attr=CALLS[function.attr])))
        if isinstance(function, ast.Name) and function.id in BUILT_IN:
            changes.append(_with(node, func=_with(function, id=CALLS[function.id])))
        if isinstance(function, ast.Attribute) and function.attr in DROPPED:
            changes.append(function.value if not _is_module(function.value) else node.args[0])
        if isinstance(function, ast.Attribute) and function.attr == "where" and len(node.args) == 3:
            changes.append(_with(node, args=[node.args[0], node.args[2], node.args[1]]))
        return self._offer(node, changes)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Change arithmetic; of two sets, take one or both in place of what they have in common."""
        self.generic_visit(node)
        if type(node.op) not in OPERATORS or (isinstance(node.op, ast.BitOr) and not self._around):
            return node  # outside of functions `|` is a type's
        changes: list[ast.AST] = [_with(node, op=OPERATORS[type(node.op)]())]
        if isinstance(node.op, (ast.BitAnd, ast.BitOr)):
            changes += [node.left, node.right]
        return self._offer(node, changes)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        """Change arithmetic in place."""
        self.generic_visit(node)
        return self._offer(node, [_with(node, op=OPERATORS[type(node.op)]())] if type(node.op) in OPERATORS else [])

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """Turn comparisons round, one of a chain at a time."""
        self.generic_visit(node)
        changes = []
        for i, comparison in enumerate(node.ops):
            ops: list[ast.AST] = list(node.ops)
            ops[i] = COMPARISONS[type(comparison)]()
            changes.append(_with(node, ops=ops))
        return self._offer(node, changes)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """Leave out each condition."""
        self.generic_visit(node)
        changes: list[ast.AST] = []
        for i in range(len(node.values)):
            left = [value for j, value in enumerate(node.values) if j != i]
            changes.append(left[0] if len(left) == 1 else _with(node, values=left))
        return self._offer(node, changes)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """Leave out a sign or a not."""
        self.generic_visit(node)
        if isinstance(node.op, (ast.USub, ast.Invert, ast.Not)) and not isinstance(node.operand, ast.Constant):
            return self._offer(node, [node.operand])
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """Turn conditions round, and take either side always."""
        node.test = self._condition(node.test)
        node.body, node.orelse = self.visit(node.body), self.visit(node.orelse)
        return self._offer(node, [node.body, node.orelse])

    def visit_If(self, node: ast.If) -> ast.AST:
        """Turn conditions round, but for those of errors, and for what is there for types alone."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node
        if not isinstance(node.body[-1], ast.Raise):
            node.test = self._condition(node.test)
            node.body = self._statements(node.body)
        node.orelse = self._statements(node.orelse)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        """Turn conditions round."""
        node.test = self._condition(node.test)
        node.body = self._statements(node.body)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        """Turn conditions round."""
        node.iter = self.visit(node.iter)
        node.ifs = self._conditions(node.ifs)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Take the other side of the mask, 0 for what is undefined or without end, and a matrix as it is."""
        self.generic_visit(node)
        if node.attr in SIDES:
            return self._offer(node, [_with(node, attr=SIDES[node.attr])])
        if node.attr in ("nan", "inf") and _is_module(node.value):
            return self._offer(node, [ast.Constant(0.0)])
        return self._offer(node, [node.value]) if node.attr == "T" else node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Change factors, and whole numbers that are counted with; dimensions are left alone."""
        if isinstance(node.value, bool):
            return self._offer(node, [ast.Constant(not node.value)])
        if isinstance(node.value, float):
            return self._offer(node, [ast.Constant(2 * node.value + 0.1)])
        if isinstance(node.value, int) and getattr(node, "counted_with", False):
            return self._offer(node, [ast.Constant(node.value + 1)])
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        """Leave arguments alone that change no value."""
        return node if node.arg in UNTOUCHED else self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Leave annotations, default values and decorators alone."""
        return self._definition(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Leave bases, decorators and fields with their default values alone."""
        fields = [statement for statement in node.body if isinstance(statement, ast.AnnAssign)]
        node.body = [statement for statement in node.body if statement not in fields]
        self._definition(node)
        node.body = fields + node.body
        return node

    def _definition(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        self._around.append(node.name)
        node.body = self._statements(node.body)
        self._around.pop()
        return node

    def _statements(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        return [self.visit(statement) for statement in statements]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Leave annotations alone."""
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """Leave docstrings alone."""
        return node if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def _leave(self, node: ast.AST) -> ast.AST:
        return node

    visit_Assert = visit_JoinedStr = visit_Raise = _leave  # noqa: N815  (the names that `ast` looks for)


class BodyChanger(Changer):
    """Makes errors of functions, one at a time."""

    def visit(self, node: ast.AST) -> ast.AST:
        """Go through functions and classes alone."""
        if isinstance(node, ast.ClassDef):
            return self._definition(node)
        if isinstance(node, ast.FunctionDef):
            self._around.append(node.name)
            error = ast.parse("raise AssertionError('changed')").body
            changed = self._offer(ast.Pass(lineno=node.lineno), error)
            self._around.pop()
            return node if isinstance(changed, ast.Pass) else _with(node, body=error)
        return self.generic_visit(node) if isinstance(node, ast.Module) else node


def changed(file: str, number: int = -1, changer: type[Changer] = Changer) -> tuple[ast.Module, list[Mutant]]:
    """Return a file's tree with one place changed, and all its places."""
    return changed_source((ROOT / file).read_text(encoding="utf-8"), file, number, changer)


def changed_source(
    source: str, file: str, number: int = -1, changer: type[Changer] = Changer
) -> tuple[ast.Module, list[Mutant]]:
    """Return the tree of a source with one place changed, and all its places."""
    tree = ast.parse(source)
    for constant in _counted_with(tree):
        constant.counted_with = True  # type: ignore[attr-defined]
    changes = changer(file, number)
    tree = changes.visit(tree)
    return ast.fix_missing_locations(tree), changes.found


def _counted_with(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield what stands in arithmetic, comparisons and bounds, is returned, or is given a name."""
    for node in ast.walk(tree):
        parts: list[ast.expr | None] = []
        if isinstance(node, ast.BinOp):
            parts = [node.left, node.right]
        elif isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in BOUNDED:
            parts = [*node.args, *(k.value for k in node.keywords if k.arg not in ("dim", "axis"))]
        elif isinstance(node, (ast.Return, ast.Assign, ast.AnnAssign, ast.AugAssign)):
            parts = [node.value]
        elif isinstance(node, ast.IfExp):
            parts = [node.body, node.orelse]
        yield from (part for part in parts if isinstance(part, ast.Constant))


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _nan(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "float" and isinstance(node.args[0], ast.Constant)


def _is_module(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("math", "np", "torch", "nnf", "functional", "F")
