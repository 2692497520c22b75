"""The shape of `registry.yaml`: what an entry may hold, its types, and what must fit together within one entry.

Checks that need more than one entry (a model names a component, a fact names a source) live in `registry.py`;
`registry_errors.py` turns what is raised here into sentences that name the file, the entry and the field.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

Dtype = Literal["fp32", "bf16", "fp16"]
DTYPE_BYTES: Mapping[Dtype, int] = {"fp32": 4, "bf16": 2, "fp16": 2}

Task = Literal[
    "text_to_image",
    "image_to_image",
    "inpaint",
    "edit",
    "control",
    "control_image_to_image",
    "control_inpaint",
    "image_variation",
    "layers",
    "text_to_video",
    "image_to_video",
    "first_last_frame",
    "video_to_video",
    "video_edit",
    "speech_to_video",
    "character_animation",
    "chat",
]

ClassName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9_]*$")]
RepositoryName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*/\w[\w.-]*$")]
EntryId = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*$")]
FolderPath = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*$")]
SafetensorsName = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*\.safetensors$")]
WebAddress = Annotated[str, StringConstraints(pattern=r"^https://")]
SocketName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
FrameRule = Annotated[str, StringConstraints(pattern=r"^[1-9]\d*k(\+[1-9]\d*)?$")]
# YAML reads a bare `yes` as true.
_YAML_WORD = BeforeValidator(lambda value: {True: "yes", False: "no"}[value] if isinstance(value, bool) else value)
Gated = Annotated[Literal["yes", "no", "unknown"], _YAML_WORD]
CommercialUse = Annotated[Literal["yes", "no", "conditional"], _YAML_WORD]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]


class Entry(BaseModel):
    """A mapping of the file. Unknown keys are refused, with the key that was probably meant."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        known = [field.alias or name for name, field in cls.model_fields.items()]
        unknown = [str(key) for key in data if key not in known]
        if unknown:
            near = difflib.get_close_matches(unknown[0], known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
            raise PydanticCustomError("unknown_key", "unknown key '{key}'; {hint}", {"key": unknown[0], "hint": hint})
        return data


def _fault(message: str) -> PydanticCustomError:
    return PydanticCustomError("inconsistent", message.replace("{", "{{").replace("}", "}}"))


class Source(Entry):
    """Where facts come from, and whether somebody has read them there."""

    what: str
    url: WebAddress | None = None
    verified: bool


class Licence(Entry):
    """The terms of a model's weights."""

    name: str
    url: WebAddress | None = None
    commercial: CommercialUse
    note: str | None = None


class Architecture(Entry):
    """A family of models that share sockets and pipelines."""

    name: str


class Location(Entry):
    """One place on the hub that holds a component's files; each location of a component holds the same weights."""

    repository: RepositoryName
    subfolder: FolderPath | None = None
    file: SafetensorsName | None = None
    """The one file that holds it, together with other components: a checkpoint without the diffusers layout."""
    variant: Literal["fp16"] | None = None
    """diffusers' `variant`: the files whose names carry it, where the folder holds the weights more than once."""
    stored_dtype: Dtype | None = None

    def __str__(self) -> str:
        return f"{self.repository}/{self.subfolder}" if self.subfolder else self.repository

    @model_validator(mode="before")
    @classmethod
    def _from_address(cls, data: Any) -> Any:
        """Accept the two written forms: `owner/name/subfolder`, and `{at: owner/name/subfolder, stored_dtype: ...}`."""
        if isinstance(data, str):
            data = {"at": data}
        if not (isinstance(data, Mapping) and isinstance(data.get("at"), str)):
            return data
        owner, _, rest = data["at"].partition("/")
        name, _, subfolder = rest.partition("/")
        parts = {"repository": f"{owner}/{name}", "subfolder": subfolder or None}
        return {**parts, **{key: value for key, value in data.items() if key != "at"}}


class ComponentEntry(Entry):
    """A part of a model: a network with weights of its own, or a small companion (tokenizer, scheduler, processor)."""

    COMPANION_SOCKETS: ClassVar[frozenset[str]] = frozenset({"TOKENIZER", "SCHEDULER", "PROCESSOR"})
    NO_FACTS: ClassVar[frozenset[str]] = frozenset({"id", "library", "socket", "tokenizer", "sources"})

    id: EntryId
    class_name: ClassName = Field(alias="class")
    library: Literal["diffusers", "transformers"]
    socket: SocketName
    locations: list[Location] = Field(min_length=1)
    """The same weights in every one, in the order in which they are searched and downloaded from."""
    parameters: Count = 0
    stored_dtype: Dtype | None = None
    """How the files hold the weights, where a location does not say otherwise."""
    compute_dtype: Dtype | None = None
    tokenizer: str | None = None
    download_size: Count | None = None
    """Bytes as published, only where parameters times dtype is not what a download brings."""
    sources: dict[str, str]

    @model_validator(mode="after")
    def _weights_have_dtypes(self) -> ComponentEntry:
        if bool(self.parameters) == (self.socket in self.COMPANION_SOCKETS):
            expected = "no parameters" if self.parameters else "'parameters' above 0"
            raise _fault(f"a {self.socket} component has {expected}")
        if self.parameters and (self.stored_dtype is None or self.compute_dtype is None):
            raise _fault("a component with parameters needs 'stored_dtype' and 'compute_dtype'")
        return self

    def bytes_at(self, location: Location) -> int:
        """Bytes that a download from this location brings: parameters times bytes of the dtype stored there."""
        if self.download_size is not None:
            return self.download_size
        dtype = location.stored_dtype or self.stored_dtype
        return self.parameters * DTYPE_BYTES[dtype] if dtype else 0

    def location_in(self, repository: str | None) -> Location:
        """The location within a model's own repository, or the first one."""
        return next((place for place in self.locations if place.repository == repository), self.locations[0])

    def location_for(self, dtype: Dtype, repository: str | None) -> Location:
        """The location with the fewest bytes that holds the weights as exactly as `dtype`; among equals the one in this repository."""
        own = self.location_in(repository)
        exact = [place for place in self.locations if (place.stored_dtype or self.stored_dtype) in (dtype, "fp32")]
        return min(exact, key=lambda place: (self.bytes_at(place), place is not own), default=own)

    @property
    def download_bytes(self) -> int:
        """Bytes that a download from the first location brings."""
        return self.bytes_at(self.locations[0])


class Defaults(Entry):
    """Settings a model was made for. `guidance` is the pipeline's `guidance_scale`, `true_cfg` its `true_cfg_scale`."""

    steps: PositiveCount | None = None
    guidance: Annotated[float, Field(ge=0)] | None = None
    guidance_2: Annotated[float, Field(ge=0)] | None = None
    """Guidance of the second (low-noise) expert."""
    true_cfg: Annotated[float, Field(ge=0)] | None = None
    negative_prompt: str | None = None
    width: PositiveCount | None = None
    height: PositiveCount | None = None
    size_multiple: PositiveCount | None = None
    """Width and height are multiples of this many pixels."""
    max_sequence_length: PositiveCount | None = None
    """Longest prompt in tokens of the text encoder."""
    flow_shift: Annotated[float, Field(gt=0)] | None = None
    boundary_ratio: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Part of the noise schedule at which the second expert takes over."""
    frames: PositiveCount | None = None
    fps: PositiveCount | None = None
    frame_rule: FrameRule | None = None
    """Which frame counts are possible: `4k+1` means 1, 5, 9, ..."""
    layers: PositiveCount | None = None
    clip_skip: Count | None = None
    max_new_tokens: PositiveCount | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Defaults:
        for name in ("width", "height"):
            size = getattr(self, name)
            if size and self.size_multiple and size % self.size_multiple:
                raise _fault(f"{name} {size} is not a multiple of size_multiple {self.size_multiple}")
        if self.frames and not (self.fps and self.frame_rule):
            raise _fault("'frames' needs 'fps' and 'frame_rule'")
        if self.frames and not self.allows_frames(self.frames):
            raise _fault(f"{self.frames} frames are not of the form {self.frame_rule}")
        return self

    def allows_frames(self, frames: int) -> bool:
        """Whether a clip of this many frames obeys `frame_rule`."""
        if self.frame_rule is None:
            return True
        step, rest = re.split(r"k\+?", self.frame_rule)
        return frames >= int(rest or 1) and (frames - int(rest or 0)) % int(step) == 0


class Lora(Entry):
    """An adapter that makes a model faster; it is loaded on top of the model's own weights."""

    name: str
    repository: RepositoryName
    files: dict[Literal["transformer", "transformer_2"], SafetensorsName] = Field(min_length=1)
    """Role of the component that it is loaded into -> path of the file within the repository."""
    steps: PositiveCount | None = None
    guidance: float | None = None
    true_cfg: float | None = None
    scheduler: dict[str, bool | int | float | None] = {}
    """Options of the model's scheduler that it was trained with, where they differ."""
    note: str | None = None


class GenerationTime(Entry):
    """How long one generation takes, as a class that holds under a stated condition."""

    class_name: Literal["seconds", "tens of seconds", "minutes", "tens of minutes", "hours"] = Field(alias="class")
    condition: str


class ModelWarning(Entry):
    """What somebody with a common graphics card should know before downloading."""

    level: Literal["info", "caution", "danger"]
    text: str


class Model(Entry):
    """A model as its authors publish it, put together from components."""

    NO_FACTS: ClassVar[frozenset[str]] = frozenset({"id", "name", "architecture", "advanced", "warnings", "sources"})

    id: EntryId
    name: str
    architecture: str
    availability: Literal["open", "native_only", "api_only"] = "open"
    """`native_only`: open weights, but no pipeline in diffusers. `api_only`: no open weights."""
    repository: RepositoryName | None = None
    gated: Gated = "unknown"
    """What was known when this was written; the hub is asked before a download."""
    licence: Licence
    pipelines: dict[Task, ClassName] = {}
    minimum_diffusers: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+(\.\d+)?$")] | None = None
    modular_only: bool = False
    """Whether the pipelines are Modular Diffusers pipelines, and no classic ones exist."""
    components: dict[str, str] = {}
    loras: list[Lora] = []
    defaults: Defaults = Defaults()
    supports_guidance: bool = False
    """Whether the transformer takes the guidance as an input (distilled guidance), instead of a second pass."""
    advanced: bool
    """Whether the model departs from the classic Stable Diffusion layout of one UNet, CLIP and one VAE."""
    features: list[str] = []
    generation_time: GenerationTime | None = None
    warnings: list[ModelWarning] = []
    sources: dict[str, str]

    _components: Mapping[str, ComponentEntry] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _open_models_are_complete(self) -> Model:
        missing = [name for name in ("repository", "pipelines", "components") if not getattr(self, name)]
        if self.availability == "open" and missing:
            raise _fault(f"an open model needs '{missing[0]}'")
        if self.availability != "open" and (self.pipelines or self.components):
            raise _fault(f"a model with availability {self.availability} has neither 'pipelines' nor 'components'")
        if (self.defaults.boundary_ratio is not None) != ("transformer_2" in self.components):
            raise _fault("'boundary_ratio' in 'defaults' and the component 'transformer_2' go together")
        for lora in self.loras:
            for role in lora.files:
                if role not in self.components:
                    raise _fault(f"the LoRA '{lora.name}' is for the role '{role}', which the model does not have")
        return self

    def bind(self, components: Mapping[str, ComponentEntry]) -> None:
        """Give the model the registry's components, from which its computed figures follow."""
        self._components = components

    @property
    def tasks(self) -> list[Task]:
        """What the model can do, in the order of the file."""
        return list(self.pipelines)

    @property
    def entries(self) -> dict[str, ComponentEntry]:
        """Role -> component."""
        return {role: self._components[component_id] for role, component_id in self.components.items()}

    @property
    def download_bytes(self) -> int:
        """Bytes of all its components: each as the model's own repository holds it, else as its first location does."""
        distinct = {entry.id: entry for entry in self.entries.values()}
        return sum(entry.bytes_at(entry.location_in(self.repository)) for entry in distinct.values())
