"""What a workflow needs, before anything is downloaded: its models, a verdict for a machine, and the plan that makes it fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from ..loaders.folder_files import folders_held
from ..loaders.registry import load_registry, registry_held
from ..loaders.schema import Model
from ..workflows.prompt import Prompt
from .better import Better, next_better
from .estimate import component_config
from .estimate_features import LANGUAGE_MODELS, LATENT_FACTOR, latent_factor
from .estimate_values import Libraries, Stage, Workload
from .plan import as_it_is, best, fits, plans
from .plan_values import Backends, Kind, Machine, Part, Plan, Wishes
from .preflight_graph import GraphFacts, Loaded, larger, read_graph
from .preflight_loras import lora_bytes
from .preflight_nearest import Nearest, resized, siblings, smaller
from .weights import WEIGHT_PRECISIONS, WeightPrecision

Verdict = Literal["fits", "tight", "fits_with_plan", "does_not_fit", "unknown"]
"""Tight: fits the card, with less to spare than is safe. Unknown: no model of the graph is known."""

Understood = Literal["whole", "part", "none"]

EDIT_TOKENS = 1058
"""Tokens of a Qwen-Image-Edit prompt with one picture: its template, the words, and the picture's own."""
_TILED_VAES = frozenset({"AutoencoderKL", "AutoencoderKLQwenImage", "AutoencoderKLWan"})
"""VAEs that the pack decodes in tiles when its loader says so; ComfyUI does by itself when a whole picture runs out of memory."""
_SD = frozenset({"sd15", "sdxl"})


@dataclass(frozen=True)
class Report:
    """The answer for one machine."""

    verdict: Verdict
    machine: Machine
    as_it_is: Plan | None
    plan: Plan | None
    alternatives: tuple[Plan, ...]
    nearest: Nearest | None = None
    """What would fit where nothing does."""
    better: Better | None = None
    """What more memory would buy, where it was asked for and a plan is needed."""


@dataclass(frozen=True)
class Preflight:
    """A graph that was read: what it loads and makes."""

    facts: GraphFacts
    parts: tuple[Part, ...]
    notes: tuple[str, ...]
    libraries: Libraries

    @property
    def understood(self) -> Understood:
        if not self.parts:
            return "none"
        complete = not self.facts.unknown and all(run.workload is not None for run in self.facts.runs)
        return "whole" if complete and self._denoisers_have_runs else "part"

    @property
    def _denoisers_have_runs(self) -> bool:
        return bool(self.facts.runs) or not any(part.kind == "denoiser" for part in self.parts)

    @property
    def backends(self) -> Backends:
        return Backends.of_comfyui() if self.facts.native else Backends.of_the_loaders()

    @property
    def models(self) -> list[Model]:
        return list({model.id: model for model in self.facts.models}.values())

    def download_bytes(self) -> int:
        """Bytes of everything it loads, each once, whether or not it is there already."""
        sizes = {loaded.component: loaded.size or _stored(loaded.component) for loaded in self.facts.loaded}
        return sum(sizes.values()) + sum(size or 0 for size in self.facts.uncounted.values())

    @registry_held()
    def judge(self, machine: Machine, wishes: Wishes | None = None, *, look_further: bool = False) -> Report:
        """Whether it fits, and the plan that makes it; `look_further` also asks for the next better plan."""
        if not self.parts:
            return Report("unknown", machine, None, None, ())
        backends = self.backends
        wishes = self._possible(wishes)
        own = as_it_is(self.parts, backends, self.libraries)
        enough_host = own.host <= machine.usable_host
        if own.peak <= machine.usable and enough_host:
            return Report("fits", machine, own, own, ())
        found = plans(self.parts, machine, backends=backends, wishes=wishes, libraries=self.libraries)
        chosen = best(found)
        if own.peak <= machine.device and enough_host and (chosen is None or chosen.missing):
            return Report("tight", machine, own, own, tuple(found[:3]))
        if chosen is not None and not chosen.missing:
            better = None
            if look_further:
                better = next_better(self.parts, machine, chosen, backends=backends, wishes=wishes, libraries=self.libraries)
            return Report("fits_with_plan", machine, own, chosen, tuple(found[1:4]), better=better)
        return Report("does_not_fit", machine, own, chosen, tuple(found[:3]), self._nearest(machine, wishes))

    def _possible(self, wishes: Wishes | None) -> Wishes:
        """The wishes, as far as ComfyUI's own loaders can meet them: a file is as it is, another precision is another file."""
        wishes = wishes or Wishes()
        return replace(wishes, forbid_quantisation=True) if self.facts.native else wishes

    def _nearest(self, machine: Machine, wishes: Wishes) -> Nearest | None:
        """The first of: fewer frames, a smaller picture, another model of the family."""
        denoisers = [part for part in self.parts if part.kind == "denoiser"]
        if not denoisers:
            return None
        work = denoisers[0].workload
        for size in smaller(work):
            if self._fits(machine, wishes, tuple(resized(part, size) for part in self.parts)):
                return size
        for sibling in siblings(self.models):
            width, height = sibling.defaults.width, sibling.defaults.height
            if width and height and model_preflight(sibling, self.libraries).judge_quickly(machine):
                return Nearest(width, height, work.frames, work, sibling.name)
        return None

    def _fits(self, machine: Machine, wishes: Wishes, parts: Sequence[Part]) -> bool:
        own = as_it_is(parts, self.backends, self.libraries)
        if own.peak <= machine.usable and own.host <= machine.usable_host:
            return True
        return fits(parts, machine, backends=self.backends, wishes=wishes, libraries=self.libraries)

    def judge_quickly(self, machine: Machine) -> bool:
        """Whether it fits at all with what can be executed."""
        return self._fits(machine, Wishes(), self.parts)


@folders_held()
def preflight(prompt: Prompt, libraries: Libraries | None = None) -> Preflight:
    """Read a graph. Raises nothing for what it does not know: that stands in the facts."""
    facts = read_graph(prompt)
    return _preflight(facts, libraries or Libraries.installed())


def preflight_of_prompt(prompt: Mapping[str, Any]) -> Preflight:
    """Read a graph in its API form, as a host runs it or the page posts it."""
    from ..workflows.document import Document
    from .preflight_native import definitions

    return preflight(Document("the graph", dict(prompt), is_page=False).prompt(definitions()))


def model_preflight(model: Model, libraries: Libraries | None = None) -> Preflight:
    """The preflight of a model with its own defaults, without a graph."""
    facts = GraphFacts(models=[model])
    for role, entry in model.entries.items():
        if entry.parameters:
            facts.loaded.append(Loaded("model", role, entry.id, model.id, entry.compute_dtype))
    return _preflight(facts, libraries or Libraries.installed())


def _preflight(facts: GraphFacts, libraries: Libraries) -> Preflight:
    notes = list(facts.notes)
    parts: dict[str, Part] = {}
    usual = _usual(facts)
    picked = {load_registry().component(loaded.component).socket for loaded in facts.loaded if loaded.picked}
    for loaded in facts.loaded:
        replaced = loaded.role.startswith("text_encoder") and load_registry().component(loaded.component).socket in picked
        if replaced and not loaded.picked:
            continue
        work, steps = _work(facts, loaded, usual)
        if work is None:
            work = usual
            notes.append(
                f"The size is the model's own, or that of a linked picture: taken as {work.width}x{work.height}, {work.frames} frames."
            )
        if not work.frames:
            work = replace(work, frames=usual.frames)
            notes.append(f"The number of frames is decided by another node: taken as {work.frames}.")
        part = _part(facts, loaded, work, steps, parts)
        if part is None:
            continue
        if part.kind == "denoiser":
            beside, missing = lora_bytes(facts.loras, loaded.node, loaded.model, loaded.role)
            part, notes = replace(part, beside=beside), notes + missing
        parts[part.name] = part
    if any(run.workload is None for run in facts.runs) and not any(note.startswith("The size is") for note in notes):
        notes.append("The size of one sampler depends on a linked picture or node.")
    return Preflight(facts, tuple(parts.values()), tuple(dict.fromkeys(notes)), libraries)


def _usual(facts: GraphFacts) -> Workload:
    """What is made when the graph does not tell: the first model's own size."""
    model = next((model for model in facts.models if model.defaults.width), None)
    if model is None:
        return Workload()
    defaults = model.defaults
    return Workload(defaults.width or 1024, defaults.height or 1024, defaults.frames or 1, text_tokens=defaults.max_sequence_length or 512)


def _work(facts: GraphFacts, loaded: Loaded, usual: Workload) -> tuple[Workload | None, int | None]:
    """The largest workload of the samplers that use a loader (of all samplers, for what no sampler's model comes from)."""
    own = [run for run in facts.runs if loaded.node in run.loaders] if loaded.role.startswith(("transformer", "unet")) else facts.runs
    sized = [run for run in own if run.workload is not None]
    if not sized:
        return (None if facts.runs else usual), None
    work = sized[0].workload
    assert work is not None
    for run in sized[1:]:
        assert run.workload is not None
        work = larger(work, run.workload)
    return work, max((run.steps or 0 for run in sized), default=0) or None


def _part(facts: GraphFacts, loaded: Loaded, work: Workload, steps: int | None, parts: dict[str, Part]) -> Part | None:
    entry = load_registry().component(loaded.component)
    model = load_registry().models.get(loaded.model) if loaded.model else None
    kind = _kind(entry.class_name, loaded.role)
    if kind is None or (kind == "image_encoder" and not facts.encodes_pictures and facts.runs):
        return None
    precision = cast(WeightPrecision, loaded.precision if loaded.precision in WEIGHT_PRECISIONS else entry.compute_dtype)
    if loaded.file is not None and kind == "vae":
        precision = "bf16"  # what ComfyUI computes every VAE in, on cards that can (`vae_dtype`)
    text = (model or (facts.models[0] if facts.models else None)) and (model or facts.models[0]).defaults.max_sequence_length
    tokens = 77 if entry.class_name.startswith("CLIPText") else text or 512
    architecture = model.architecture if model else None
    references = facts.pictures if architecture == "qwen_image" and kind == "denoiser" else 0
    stages: list[tuple[Stage, Workload]]
    if kind == "vae":
        stages = [("decode", replace(work, text_tokens=tokens))]
        if facts.encodes_pictures:
            # Wan 2.2 5B takes the start image alone into its latents; the others a clip that begins with it.
            alone = not facts.encodes_clips and latent_factor(component_config(entry.id)) > LATENT_FACTOR
            stages.append(("encode", replace(work, frames=1 if alone else work.frames, text_tokens=tokens)))
    elif kind == "denoiser":
        doubled = architecture in _SD and next((run.guidance for run in facts.runs if run.guidance is not None), 7.0) > 1
        stages = [("denoise", replace(work, text_tokens=tokens, reference_images=references, doubled=doubled))]
    elif kind == "language_model":
        pictures = facts.pictures
        stages = [("encode", Workload(1000, 1000, text_tokens=512, reference_images=pictures, new_tokens=512))]
    else:
        pictured = EDIT_TOKENS if facts.pictures and entry.class_name in LANGUAGE_MODELS else 0
        stages = [("encode", Workload(batch=work.batch, text_tokens=max(tokens, pictured)))]
    name = loaded.role if loaded.role not in parts else f"{loaded.role} of node {loaded.node}"
    if loaded.role == "vae" and "vae" in parts and parts["vae"].component == entry.id:
        name = "vae"  # a VAE of its own takes the place of the loader's
    default_steps = model.defaults.steps if model else None
    guided = any((run.guidance or 0) > 1 for run in facts.runs)
    return Part(
        name=name,
        component=entry.id,
        kind=kind,
        stages=tuple(stages),
        precision=precision,
        on_cpu=loaded.on_cpu,
        tiled=loaded.tiled,
        runs=(steps or default_steps or 20) * (2 if guided else 1) if kind == "denoiser" else 1,
        can_tile=entry.class_name in _TILED_VAES,
        size=loaded.size,
        chosen=loaded.chosen,
    )


def _kind(class_name: str, role: str) -> Kind | None:
    if role.startswith(("transformer", "unet")):
        return "denoiser"
    if role == "vae":
        return "vae"
    if role.startswith("text_encoder"):
        return "text_encoder"
    if role.startswith("image_encoder"):
        return "image_encoder"
    return "language_model" if class_name in LANGUAGE_MODELS or role == "model" else None


def _stored(component: str) -> int:
    return load_registry().component(component).download_bytes


def to_json(report: Report) -> dict[str, Any]:
    """A report as JSON, sizes in bytes."""
    return {
        "verdict": report.verdict,
        "device_bytes": report.machine.device,
        "usable_bytes": report.machine.usable,
        "host_bytes": report.machine.host,
        "usable_host_bytes": report.machine.usable_host,
        "as_it_is": report.as_it_is.to_json() if report.as_it_is else None,
        "plan": report.plan.to_json() if report.plan else None,
        "alternatives": [plan.to_json() for plan in report.alternatives],
        "nearest": report.nearest.to_json() if report.nearest else None,
        "better": report.better.to_json() if report.better else None,
    }
