"""ComfyUI-AdvancedModels: FLUX, Wan and Qwen with every component on a typed socket of its own.

ComfyUI imports this folder under a name of its own and reads the three names below; everything heavy is imported when a node runs.
"""

from .host import inside_comfyui
from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

if inside_comfyui():
    from .host.registration import without_clashes
    from .host.routes import add_routes

    add_routes()
    NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS = without_clashes(NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS)

WEB_DIRECTORY = "./web"

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
