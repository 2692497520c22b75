"""What a host offers to the rest of the pack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from ..video.value import VideoComponents

FolderKind = str
"""A ComfyUI model folder by its ComfyUI name: `diffusers`, `diffusion_models`, `text_encoders`, `vae`, `clip_vision`, `loras`."""


class Progress(Protocol):
    """The progress bar of the node that is running."""

    def update(self, done: int, latents: Callable[[], torch.Tensor] | None = None) -> None:
        """Show that `done` steps of the total are finished.

        `latents` gives the denoised latents as they stand, normalised, [B, C, H, W] or [B, C, T, H, W]; it is called only where
        somebody can see a preview.
        """


class Surroundings(Protocol):
    """What of a host an encoder needs."""

    @property
    def temp_folder(self) -> Path: ...

    def progress(self, total: int) -> Progress: ...

    def raise_if_interrupted(self) -> None: ...


class Host(Protocol):
    """Folders, device, progress and interruption, as ComfyUI or a plain process offers them."""

    @property
    def input_folder(self) -> Path: ...

    @property
    def output_folder(self) -> Path: ...

    @property
    def temp_folder(self) -> Path: ...

    @property
    def user_folder(self) -> Path:
        """Where the user's own registry overlay and the pack's caches live."""

    @property
    def embed_metadata(self) -> bool:
        """Whether pictures and videos may carry the prompt and the workflow."""

    def model_folders(self, kind: FolderKind) -> list[Path]:
        """Existing folders that hold models of this kind, in the order in which they are searched."""

    def device(self) -> torch.device:
        """Where models compute."""

    def place(self, modules: Sequence[torch.nn.Module], *, staying: Sequence[torch.nn.Module] = ()) -> None:
        """Bring the modules of a stage to the computing device; what others keep there may have to leave it, but for those `staying`."""

    def release(self, modules: Sequence[torch.nn.Module]) -> None:
        """Take modules off the computing device and forget them."""

    def progress(self, total: int, latent_format: str | None = None) -> Progress:
        """A progress bar over `total` steps on the node that is running; with a latent format (`flux`, `wan21`, `wan22`) it previews."""

    def show_text(self, text: str) -> None:
        """Show a text on the node that is running, in place of the one shown before: an answer while it is written. An empty text
        takes it away."""

    def video_from_file(self, path: Path) -> object:
        """The VIDEO value of a finished file."""

    def video_from_components(self, components: VideoComponents) -> object:
        """The VIDEO value of a clip in memory."""

    def raise_if_interrupted(self) -> None:
        """Raise when the user asked to stop. Called within every step, so it must be cheap."""

    def device_memory(self) -> int | None:
        """Bytes of the computing device that are free or can be freed by this process; None when it computes in main memory."""

    def running_prompt(self) -> Mapping[str, Any] | None:
        """The prompt that is being executed, in its API form; None where the host does not know it."""

    def blocker(self, message: str) -> object:
        """A value that, as a node's output, keeps everything that depends on it from running and shows the message.

        Raises:
            UserError: the host has no such value; the message stops the run.
        """

    def inference(self) -> AbstractContextManager[object]:
        """The autograd mode in which nodes run (`torch.inference_mode`, as ComfyUI does)."""
