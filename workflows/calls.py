"""Calling node functions the way ComfyUI does: once per element of list inputs (execution.py, _async_map_node_over_list)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def call_over_lists(
    owner: Any, function: str, arguments: Mapping[str, list[Any]], before_each: Callable[[], None] | None = None
) -> list[Any]:
    """Call `owner.function` and return its answers, one per call.

    Every argument arrives as a list. A class with `INPUT_IS_LIST` gets the lists in one call; any other is called once per index up to
    the longest list, shorter lists repeating their last element.

    Raises:
        ValueError: an argument is an empty list, and the function wants single values.
    """
    method = getattr(owner, function)
    if getattr(owner, "INPUT_IS_LIST", False):
        calls: list[dict[str, Any]] = [dict(arguments)]
    else:
        empty = [name for name, values in arguments.items() if not values]
        if empty:
            raise ValueError(f'input "{empty[0]}" received an empty list')
        count = max((len(values) for values in arguments.values()), default=1)
        calls = [{name: values[min(index, len(values) - 1)] for name, values in arguments.items()} for index in range(count)]
    answers = []
    for call in calls:
        if before_each is not None:
            before_each()
        answers.append(method(**call))
    return answers
