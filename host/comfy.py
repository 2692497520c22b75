"""The host inside ComfyUI: its folders, its model manager, its progress bar and previews."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.latent_formats
import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import latent_preview
import torch
from comfy.cli_args import args
from comfy_api.input_impl import VideoFromComponents, VideoFromFile
from comfy_api.util import VideoComponents as NativeComponents
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.utils import get_executing_context
from server import PromptServer

from .base import FolderKind, Progress
from .placement import Moved, cuda_memory
from .tensors import device_bytes

if TYPE_CHECKING:
    from torch import nn

    from ..video.value import VideoComponents

_LATENT_FORMATS = {"flux": "Flux", "wan21": "Wan21", "wan22": "Wan22"}


PROGRESS_EVENT = "advanced_models.progress"
"""What a node is doing, in words: `{"node": id, "text": "..."}`; an empty text takes the line away (web/progress_line.mjs)."""


class ComfyHost:
    """What `host.base.Host` asks for, as ComfyUI offers it."""

    def __init__(self) -> None:
        self._patchers: dict[nn.Module, _ModulePatcher] = {}

    @property
    def input_folder(self) -> Path:
        return Path(folder_paths.get_input_directory())

    @property
    def output_folder(self) -> Path:
        return Path(folder_paths.get_output_directory())

    @property
    def temp_folder(self) -> Path:
        return Path(folder_paths.get_temp_directory())

    @property
    def user_folder(self) -> Path:
        return Path(folder_paths.get_user_directory()) / "advanced_models"

    @property
    def embed_metadata(self) -> bool:
        return not args.disable_metadata

    def model_folders(self, kind: FolderKind) -> list[Path]:
        return [folder for path in folder_paths.get_folder_paths(kind) if (folder := Path(path)).is_dir()]

    def device(self) -> torch.device:
        device: torch.device = comfy.model_management.get_torch_device()
        return device

    def place(self, modules: Sequence[nn.Module], *, staying: Sequence[nn.Module] = ()) -> None:
        """Through ComfyUI's model manager, which makes room among native models and ours alike, and leaves where they are all that fit."""
        patchers = [self._patcher(module) for module in modules]
        comfy.model_management.load_models_gpu(patchers, force_full_load=True)

    def release(self, modules: Sequence[nn.Module]) -> None:
        for module in modules:
            patcher = self._patchers.pop(module, None)
            if patcher is not None:
                patcher.detach()
        comfy.model_management.cleanup_models()
        comfy.model_management.soft_empty_cache()

    def progress(self, total: int, latent_format: str | None = None) -> Progress:
        return _NodeProgress(total, latent_format)

    def show_text(self, text: str) -> None:
        context = get_executing_context()
        server = getattr(PromptServer, "instance", None)
        if context is not None and server is not None:
            # Not ComfyUI's own progress text: front ends of 2025 save that with the workflow.
            server.send_sync(PROGRESS_EVENT, {"node": context.node_id, "text": text}, server.client_id)

    def video_from_file(self, path: Path) -> VideoFromFile:
        return VideoFromFile(str(path))

    def video_from_components(self, components: VideoComponents) -> VideoFromComponents:
        return VideoFromComponents(NativeComponents(components.images, components.frame_rate, components.audio))

    def raise_if_interrupted(self) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()

    def device_memory(self) -> int | None:
        return cuda_memory(self.device())

    def running_prompt(self) -> Mapping[str, Any] | None:
        server = getattr(PromptServer, "instance", None)
        if server is None:
            return None
        # Entries are (number, id, prompt, extra data, outputs, ...); one runs at a time.
        return next((entry[2] for entry in server.prompt_queue.get_current_queue()[0]), None)

    def blocker(self, message: str) -> object:
        return ExecutionBlocker(message)

    def inference(self) -> AbstractContextManager[object]:
        return torch.inference_mode()

    def _patcher(self, module: nn.Module) -> _ModulePatcher:
        if module not in self._patchers:
            self._patchers[module] = _ModulePatcher(module, self.device())
        return self._patchers[module]


class _ModulePatcher(comfy.model_patcher.ModelPatcher):  # type: ignore[misc]
    """Makes a diffusers or transformers module known to ComfyUI's model manager.

    Unlike native models it cannot stand on two devices at once, so it comes and goes as a whole.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        # ComfyUI notes the device and its own counters on the module it manages, where diffusers has read-only properties.
        managed = torch.nn.Module()
        managed.module = module
        # The size is given: ComfyUI counts a state dict, which bitsandbytes' scales and streamed blocks make another one.
        super().__init__(managed, load_device=device, offload_device=torch.device("cpu"), size=device_bytes(module))
        self._moved: Moved | None = None

    def partially_load(self, device_to: torch.device, extra_memory: float = 0, force_patch_weights: bool = False) -> int:
        if self._moved is not None:
            return 0
        self._moved = Moved(self.model.module, device_to)
        self.model.device = device_to
        self.model.model_loaded_weight_memory = self.model_size()
        return int(self.model_size())

    def partially_unload(self, device_to: torch.device, memory_to_free: float = 0, force_patch_weights: bool = False) -> int:
        freed = int(self.loaded_size())
        self.detach()
        return freed

    def detach(self, unpatch_all: bool = True) -> Any:
        if self._moved is not None:
            self._moved.back()
            self._moved = None
        self.model.device = self.offload_device
        self.model.model_loaded_weight_memory = 0
        return self.model


class _NodeProgress:
    """ComfyUI's bar on the running node, with its own previewer (none unless the user chose a preview method)."""

    def __init__(self, total: int, latent_format: str | None) -> None:
        self._bar = comfy.utils.ProgressBar(total)
        self._total = total
        self._previewer = None
        if latent_format is not None:
            known = getattr(comfy.latent_formats, _LATENT_FORMATS[latent_format])()
            self._previewer = latent_preview.get_previewer(comfy.model_management.get_torch_device(), known)

    def update(self, done: int, latents: Callable[[], torch.Tensor] | None = None) -> None:
        preview = None
        if self._previewer is not None and latents is not None:
            preview = self._previewer.decode_latent_to_preview_image("JPEG", latents())
        self._bar.update_absolute(done, self._total, preview)
