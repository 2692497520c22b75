"""The only place that knows ComfyUI, and the same services for running without it.

`current()` answers with the host this process runs in. Everything below `nodes/` asks it for folders, devices, progress and
interruption, and never imports ComfyUI itself.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Host

_standalone: Host | None = None


def inside_comfyui() -> bool:
    """Whether ComfyUI is running in this process (its model manager has been imported by its own main module)."""
    return "comfy.model_management" in sys.modules and "folder_paths" in sys.modules


def current() -> Host:
    """The host of this process: ComfyUI where it runs, else the one set by `use`, else a plain one in the working folder."""
    if inside_comfyui():
        return _comfy_host()
    if _standalone is None:
        use(_default_standalone())
    assert _standalone is not None
    return _standalone


def use(host: Host) -> None:
    """Set the host for a process without ComfyUI: the command line names the user's folders this way."""
    global _standalone
    _standalone = host


@cache
def _comfy_host() -> Host:
    from .comfy import ComfyHost

    return ComfyHost()


def _default_standalone() -> Host:
    from .standalone import StandaloneHost

    return StandaloneHost.below(Path.cwd())
