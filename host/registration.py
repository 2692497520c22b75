"""Node ids are global in ComfyUI and the last one registered wins; we never take another pack's."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

log = logging.getLogger(__name__)

SUFFIX = " (Advanced Models)"


def without_clashes(
    classes: Mapping[str, type], names: Mapping[str, str], registered: Mapping[str, type] | None = None
) -> tuple[dict[str, type], dict[str, str]]:
    """Our node classes and display names, under `ID (Advanced Models)` where another pack has registered the id.

    `registered` is what ComfyUI knows so far.
    """
    if registered is None:
        registered = getattr(sys.modules.get("nodes"), "NODE_CLASS_MAPPINGS", {})
    own_classes, own_names = {}, {}
    for node_id, node in classes.items():
        other = registered.get(node_id)
        taken = other is not None and other.__module__ != node.__module__
        if taken:
            log.warning("another pack has a node %s; ours is '%s%s'", node_id, node_id, SUFFIX)
        own_id = node_id + SUFFIX if taken else node_id
        own_classes[own_id] = node
        own_names[own_id] = names.get(node_id, node_id) + (SUFFIX if taken else "")
    return own_classes, own_names
