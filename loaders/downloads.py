"""Downloads from the hub: what components lack, planned with exact bytes, checked against the disk, the licence and the gate, brought."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from .. import host
from ..errors import UserError
from ..host.base import Progress
from .component import Component
from .download_errors import DownloadError, UnreachableError, explained
from .download_plan import DownloadPlan, RemoteFile, check_disk, chosen_files
from .download_transfer import active as active
from .download_transfer import bring
from .lora import LORAS_KIND, Lora, missing_loras
from .schema import Location
from .sources import MODELS_KIND, ComponentFolder, MissingFilesError, check_lookalikes, find, locate, may_be_downloaded
from .weight_files import BrokenFilesError

logger = logging.getLogger(__name__)

SWITCH = "ADVANCED_MODELS_DOWNLOADS"
"""`off` keeps loaders from downloading."""
TARGET = "ADVANCED_MODELS_DOWNLOAD_TO"
"""`models` downloads into ComfyUI's `models/diffusers/NAME`; `cache`, the default, into the hub cache."""


def allowed() -> bool:
    """Whether loaders may download: neither the hub's library nor our switch says no."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and os.environ.get(SWITCH, "").lower() != "off"


def obtain(component: Component, *others: Component) -> ComponentFolder:
    """The folder of a component. It and the `others`, which are used with it, are downloaded first if they are nowhere as a whole, and so
    are the registry's LoRAs on them.

    Raises:
        MissingFilesError: it is nowhere, and downloading is switched off or the hub cannot be reached; or a file is here that may be it.
        BrokenFilesError: the only place that has it lacks files; likewise.
        DownloadError: the hub does not give it.
        UserError: the disk is too small for all of them together; nothing was transferred.
    """
    lacking, loras = absent((component, *others))
    if not (lacking or loras) or not allowed():
        return locate(component)
    for part in lacking:
        check_lookalikes(part)
        if licence := show_licence_once(part):
            logger.info("%s", licence)
            host.current().show_text(licence)
    try:
        download(plans(lacking, loras))
    except UnreachableError as error:
        try:
            return locate(component)
        except (MissingFilesError, BrokenFilesError) as missing:
            raise type(missing)(f"{error} {missing}") from None
    return locate(component)


def is_complete(component: Component) -> bool:
    """Whether the whole of a component is here."""
    return find(component) is not None


def absent(components: Iterable[Component]) -> tuple[list[Component], list[Lora]]:
    """What would be downloaded for components, each once: those that are nowhere as a whole, and the registry's LoRAs on any of them."""
    parts = list(components)
    lacking = [part for part in {part.id: part for part in parts}.values() if may_be_downloaded(part) and not is_complete(part)]
    return lacking, list(dict.fromkeys(lora for part in parts for lora in missing_loras(part)))


def plans(components: Iterable[Component], loras: Iterable[Lora]) -> list[DownloadPlan]:
    """`plan` for each. Raises as it does."""
    return [*map(plan, components), *map(plan_lora, loras)]


def plan(component: Component) -> DownloadPlan:
    """Ask the hub for the files of a component; nothing is written. Raises DownloadError when the hub does not answer."""
    return _plan(component.location, bool(component.entry.parameters), MODELS_KIND, component.location.repository.rpartition("/")[2])


def plan_lora(lora: Lora) -> DownloadPlan:
    """The same for a LoRA of the registry; of ComfyUI's folders it goes into `models/loras`."""
    assert lora.repository is not None, "a user's own file is nowhere on the hub"
    return _plan(Location(repository=lora.repository, file=lora.file), True, LORAS_KIND, "")


def _plan(location: Location, weights: bool, kind: str, name: str) -> DownloadPlan:
    """`kind` and `name`: the folder that takes it where it goes into ComfyUI's."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.file_download import repo_folder_name

    repository = location.repository
    with explained(repository):
        info = HfApi().model_info(repository, files_metadata=True)
    files = chosen_files(info.siblings or [], location, weights=weights)
    if not files:
        raise DownloadError(f"{location} holds no files for it on the hub: the repository was changed. Update the registry entry.")
    in_cache = os.environ.get(TARGET, "cache").lower() != "models"
    if in_cache:
        folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model")
    else:
        folder = _models_folder(kind) / name
    return DownloadPlan(repository, str(info.sha), files, folder, in_cache, bool(info.gated))


def download(plans: Sequence[DownloadPlan]) -> None:
    """Bring every file of the plans that is not here.

    Raises:
        UserError: the disk is too small for all of them together; nothing was transferred.
        DownloadError: the hub fails; what has arrived is kept and continued next time.
        Interrupted: the user stopped; likewise.
    """
    check(plans)
    bar, done = host.current().progress(max(1, sum(wanted.total_bytes for wanted in plans))), 0
    for wanted in plans:
        for file in wanted.files:
            with explained(wanted.repository):
                bring(wanted, file, partial(_advance, bar, done))
                if wanted.in_cache:
                    _enter_in_cache(wanted, file)
            done += file.size
            bar.update(done)


def check(plans: Sequence[DownloadPlan]) -> None:
    """Refuse before anything is transferred: a disk that is too small for all plans together, a gate that this user may not pass."""
    check_disk(plans)
    for wanted in plans:
        check_gate(wanted)


def _advance(bar: Progress, before: int, size: int) -> None:
    bar.update(before + size)


def check_gate(wanted: DownloadPlan) -> None:
    """Raises DownloadError with the way in when the repository is gated and this user may not enter."""
    from huggingface_hub import HfApi

    if wanted.gated:
        with explained(wanted.repository):
            HfApi().auth_check(wanted.repository)


def licence_line(component: Component) -> str:
    """The licence of the component's model in one line."""
    licence = component.model_entry.licence
    return f"{component.model_entry.name}: {licence.name}{f', {licence.url}' if licence.url else ''}"


def show_licence_once(component: Component) -> str | None:
    """The licence, the first time that this repository is to be used under it; remembered in the user folder."""
    model = component.model_entry
    shown = [model.licence.url or model.licence.name, model.repository]
    seen_file = host.current().user_folder / "licences_shown.json"
    try:
        seen = json.loads(seen_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        seen = []
    if shown in seen:
        return None
    seen_file.parent.mkdir(parents=True, exist_ok=True)
    seen_file.write_text(json.dumps([*seen, shown]), encoding="utf-8")
    return licence_line(component)


def _models_folder(kind: str) -> Path:
    folders = host.current().model_folders(kind)
    if not folders:
        raise UserError(f"{TARGET} is 'models' and there is no folder models/{kind}: create it, or set it to 'cache'.")
    return folders[0]


def _enter_in_cache(wanted: DownloadPlan, file: RemoteFile) -> None:
    """Let the hub's library enter the file in its snapshot: it finds the blob and transfers nothing."""
    from huggingface_hub import hf_hub_download

    hf_hub_download(wanted.repository, file.name)
