"""Which files a component needs from the hub, how many bytes they are and what of them is here already."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .completeness import FIRST_READ

if TYPE_CHECKING:
    from .schema import Location

_COMPANIONS = re.compile(r"[^/]+\.(json|txt|model|jinja)")
_NETWORK_COMPANIONS = re.compile(r"(generation_)?config\.json|(diffusion_pytorch_model|model)\.safetensors\.index(\.[a-z0-9]+)?\.json")
_WEIGHTS = re.compile(r"(diffusion_pytorch_model|model)(\.(?P<variant>[a-z0-9]+))?(-\d+-of-\d+)?(\.[a-z0-9]+)?\.safetensors")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repository: its path there, its bytes, and the hash its content must have."""

    name: str
    size: int
    digest: str
    """sha256 of a large file, git's blob id (sha1) of a small one; the hub cache names its blobs after it."""


@dataclass(frozen=True)
class DownloadPlan:
    """The files of one repository that are to be downloaded, and where they go."""

    repository: str
    commit: str
    files: tuple[RemoteFile, ...]
    folder: Path
    """The repository's folder in the hub cache, or the model's folder below ComfyUI's."""
    in_cache: bool
    gated: bool

    def target(self, file: RemoteFile) -> Path:
        """Where the file's bytes lie when it is whole."""
        return self.folder / "blobs" / file.digest if self.in_cache else self.folder / file.name

    def partial(self, file: RemoteFile) -> Path:
        """Where they lie until then. It is named after the content, so that a changed file never continues an older one."""
        target = self.target(file)
        return target.with_name(f"{target.name}.{file.digest[:12]}.partial")

    def is_here(self, file: RemoteFile) -> bool:
        """Whether the file is whole: it only gets its name after its hash was checked."""
        target = self.target(file)
        return target.is_file() and target.stat().st_size == file.size

    @property
    def total_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def missing(self, file: RemoteFile) -> int:
        """Bytes of a file still to be transferred; what an interrupted download left counts as here."""
        if self.is_here(file):
            return 0
        partial = self.partial(file)
        return max(0, file.size - partial.stat().st_size) if partial.is_file() else file.size

    @property
    def free_bytes(self) -> int:
        """Free disk at the target."""
        folder = next(parent for parent in (self.folder, *self.folder.parents) if parent.exists())
        return shutil.disk_usage(folder).free


def missing_bytes(plans: Iterable[DownloadPlan]) -> int:
    """Bytes still to be transferred for all plans; a file that several of them name counts once."""
    files = {wanted.target(file): wanted.missing(file) for wanted in plans for file in wanted.files}
    return sum(files.values())


def check_disk(plans: Sequence[DownloadPlan]) -> None:
    """Raises UserError with both numbers when the files of all plans together do not fit; the hub's library would only warn."""
    missing, free = missing_bytes(plans), min((wanted.free_bytes for wanted in plans), default=0)
    if missing > free:
        names = ", ".join(dict.fromkeys(wanted.repository for wanted in plans))
        other = "set HF_HOME to a folder on a larger disk" if plans[0].in_cache else "let models/diffusers be on a larger disk"
        raise UserError(
            f"The download from {names} needs {missing / 1e9:.2f} GB more and the disk has {free / 1e9:.2f} GB free: "
            f"free some space, or {other}."
        )


def chosen_files(siblings: list[Any], location: Location, *, weights: bool) -> tuple[RemoteFile, ...]:
    """The files of a location that are used: a network's weights once, as safetensors, with its configs; a companion's small files.

    A repository may hold a model's network, tokenizer and processor in one folder. `siblings` are those of the hub's
    `model_info(files_metadata=True)`. What tells a folder that is whole comes last.
    """
    prefix = f"{location.subfolder}/" if location.subfolder else ""
    if location.file is not None:
        return tuple(_remote(s) for s in siblings if s.rfilename == location.file)
    inside = {s.rfilename[len(prefix) :]: s for s in siblings if s.rfilename.startswith(prefix)}
    if weights:
        chosen = _weights(list(inside), location.variant)
        chosen += [name for name in inside if _NETWORK_COMPANIONS.fullmatch(name)] if chosen else []
    else:
        chosen = [name for name in inside if _COMPANIONS.fullmatch(name) and not _NETWORK_COMPANIONS.fullmatch(name)]
    return tuple(_remote(inside[name]) for name in sorted(chosen, key=lambda name: (name in FIRST_READ, name)))


def _weights(names: list[str], variant: str | None) -> list[str]:
    whole = [name for name in names if (found := _WEIGHTS.fullmatch(name)) and found["variant"] == variant]
    shards = [name for name in whole if "-of-" in name]
    return shards or whole


def _remote(sibling: Any) -> RemoteFile:
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    return RemoteFile(sibling.rfilename, sibling.size, digest)
