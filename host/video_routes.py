"""What the server does with finished clips for the player and the timeline; files are named as `video.stored` has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import UserError
from . import current


def info(body: Any) -> dict[str, Any]:
    """Frames, rate, size and format of a file."""
    from ..video.stored import facts

    return facts(_named(body), current())


def proxy(body: Any) -> dict[str, Any]:
    """A copy that browsers play."""
    from ..video.proxy import proxy_of

    return proxy_of(_named(body), current())


def keep(body: Any) -> dict[str, Any]:
    """A copy of a preview in the output folder."""
    from ..video import stored

    return stored.keep(_named(body), current())


def _named(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise UserError('Send {"filename": "...", "subfolder": "...", "type": "output"}.')
    return body


VIDEO_ROUTES: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "/advanced_models/video/info": info,
    "/advanced_models/video/proxy": proxy,
    "/advanced_models/video/keep": keep,
}
"""Path -> what answers a POST of a file's name there."""
