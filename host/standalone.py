"""The host of a process without ComfyUI: plain torch, the terminal, and folders laid out as ComfyUI lays out its own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Interrupted, UserError
from .base import FolderKind, Progress
from .placement import Placement, cuda_memory

if TYPE_CHECKING:
    import torch

    from ..video.value import VideoClip, VideoComponents, VideoFile

# ComfyUI searches the second folder of each pair as well (folder_paths.py).
_LEGACY_NAMES = {"diffusion_models": "unet", "text_encoders": "clip"}
_SHOWN_CHARACTERS = 72


class TerminalProgress:
    """One line on stderr that counts steps, written only where a person watches a terminal."""

    def __init__(self, total: int) -> None:
        self._total = total

    def update(self, done: int, latents: Callable[[], torch.Tensor] | None = None) -> None:
        if sys.stderr.isatty():
            end = "\n" if done >= self._total else ""
            sys.stderr.write(f"\r  {done}/{self._total}{end}")
            sys.stderr.flush()


@dataclass
class StandaloneHost:
    """Folders given by the command line; everything else from torch and the terminal."""

    models: tuple[Path, ...]
    input_folder: Path
    output_folder: Path
    temp_folder: Path
    user_folder: Path
    embed_metadata: bool = True
    prompt: Mapping[str, Any] | None = None
    """The graph that is run, in its API form."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _placement: Placement = field(default_factory=Placement)

    @classmethod
    def below(cls, base: Path, *, models: tuple[Path, ...] | None = None, output: Path | None = None) -> StandaloneHost:
        """A host whose folders lie below `base` as in a ComfyUI folder, except those that are named."""
        return cls(
            models=models if models is not None else (base / "models",),
            input_folder=base / "input",
            output_folder=output if output is not None else base / "output",
            temp_folder=base / "temp",
            user_folder=base / "user" / "advanced_models",
        )

    def model_folders(self, kind: FolderKind) -> list[Path]:
        names = [kind, _LEGACY_NAMES[kind]] if kind in _LEGACY_NAMES else [kind]
        return [folder for root in self.models for name in names if (folder := root / name).is_dir()]

    def device(self) -> torch.device:
        import torch

        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")

    def place(self, modules: Sequence[torch.nn.Module], *, staying: Sequence[torch.nn.Module] = ()) -> None:
        self._placement.place(modules, self.device(), staying)

    def release(self, modules: Sequence[torch.nn.Module]) -> None:
        self._placement.release(modules)

    def progress(self, total: int, latent_format: str | None = None) -> Progress:
        return TerminalProgress(total)

    def show_text(self, text: str) -> None:
        """The end of the text, on one line that is written over, where a person watches a terminal."""
        if sys.stderr.isatty():
            line = " ".join(text.split())[-_SHOWN_CHARACTERS:]
            sys.stderr.write(f"\r  {line:<{_SHOWN_CHARACTERS}}")
            sys.stderr.flush()

    def video_from_file(self, path: Path) -> VideoFile:
        from ..video.value import VideoFile

        return VideoFile(path)

    def video_from_components(self, components: VideoComponents) -> VideoClip:
        from ..video.value import VideoClip

        return VideoClip(components)

    def interrupt(self) -> None:
        """Ask the running node to stop at its next check."""
        self._stop.set()

    def raise_if_interrupted(self) -> None:
        if self._stop.is_set():
            self._stop.clear()
            raise Interrupted("stopped by the user")

    def device_memory(self) -> int | None:
        return cuda_memory(self.device())

    def running_prompt(self) -> Mapping[str, Any] | None:
        return self.prompt

    def blocker(self, message: str) -> object:
        raise UserError(message)

    def inference(self) -> AbstractContextManager[object]:
        import torch

        return torch.inference_mode()
