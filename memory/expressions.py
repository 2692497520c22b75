"""Arithmetic that a workflow states as text (ComfyUI's ComfyMathExpression), computed without running anything of it."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping

_LONGEST = 200
_BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: lambda left, right: int(left) & int(right),
}
_UNARY: Mapping[type[ast.unaryop], Callable[[float], float]] = {ast.USub: operator.neg, ast.Invert: lambda value: ~int(value)}
_FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
    "int": int,
    "abs": abs,
    "min": min,
    "max": max,
}


def compute(text: str, values: Mapping[str, float]) -> float | None:
    """The value of an expression of numbers, names, + - * / // % & and a few functions; None for anything else."""
    if len(text) > _LONGEST:
        return None
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, values)
    except (SyntaxError, ValueError, TypeError, ArithmeticError, KeyError):
        return None


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    """Raises KeyError for what is not known."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_value(node.left, values), _value(node.right, values))
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](_value(node.operand, values))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _FUNCTIONS[node.func.id](*(_value(argument, values) for argument in node.args))
    raise KeyError(type(node).__name__)
