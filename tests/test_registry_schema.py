"""A mistake in a registry file is one sentence that names file, entry, field and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest
from advanced_models.errors import UserError
from advanced_models.loaders.registry import REGISTRY_FILE, Registry, read_registry

SMALL = """
sources:
  here: {what: "this test", verified: true}
licences:
  free: {name: "Free", commercial: yes}
architectures:
  flux: {name: "FLUX.1"}
components:
  net:
    class: FluxTransformer2DModel
    library: diffusers
    socket: FLUX_TRANSFORMER
    locations: [someone/model/transformer, {at: another/copy/transformer, stored_dtype: fp32}]
    parameters: 1000
    stored_dtype: bf16
    compute_dtype: bf16
    sources: {class: here, locations: here, parameters: here, stored_dtype: here, compute_dtype: here}
  words:
    class: CLIPTokenizer
    library: transformers
    socket: TOKENIZER
    locations: [someone/model]
    sources: {class: here, locations: here}
models:
  model:
    name: "A model"
    architecture: flux
    repository: someone/model
    gated: no
    licence: free
    pipelines: {text_to_image: FluxPipeline}
    components: {transformer: net, tokenizer: words}
    defaults: {steps: 4, width: 64, height: 64, size_multiple: 16}
    advanced: true
    sources: {repository: here, gated: here, licence: here, pipelines: here, components: here, defaults: here}
"""


def read(tmp_path: Path, text: str = SMALL, overlay: str | None = None) -> Registry:
    path, over = tmp_path / "registry.yaml", tmp_path / "user" / "registry.yaml"
    path.write_text(text, encoding="utf-8")
    if overlay is not None:
        over.parent.mkdir()
        over.write_text(overlay, encoding="utf-8")
    return read_registry(path, over)


def mistake(tmp_path: Path, text: str = SMALL, overlay: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text, overlay)
    message = str(caught.value)
    assert "\n" not in message, "a mistake is one sentence"
    assert str(tmp_path) not in message, "no path of this machine"
    return message


def test_the_small_registry_is_right(tmp_path: Path) -> None:
    registry = read(tmp_path)
    net = registry.component("net")
    assert [(str(place), net.bytes_at(place)) for place in net.locations] == [
        ("someone/model/transformer", 2000),
        ("another/copy/transformer", 4000),
    ]
    assert net.download_bytes == 2000
    assert registry.model("model").download_bytes == 2000
    assert registry.model("model").licence.commercial == "yes"
    assert registry.component("words").download_bytes == 0


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("steps: 4", "stepz: 4", ["models > model > defaults", "unknown key 'stepz'", "did you mean 'steps'?"]),
        ("steps: 4", "steps: four", ["models > model > defaults > steps", "expected a whole number, found 'four'"]),
        ("steps: 4", "steps: 0", ["models > model > defaults > steps", "greater than or equal to 1"]),
        ("advanced: true", "advanced: maybe", ["models > model > advanced", "expected true or false"]),
        ("    advanced: true\n", "", ["models > model", "the key 'advanced' is missing"]),
        ("gated: no", "gated: perhaps", ["models > model > gated", "expected one of 'yes', 'no' or 'unknown'"]),
        ("transformer: net", "transformer: nett", ["models > model > components > transformer", "did you mean 'net'?"]),
        ("text_to_image: Flux", "text_to_picture: Flux", ["models > model > pipelines", "'text_to_image'"]),
        ("licence: free", "licence: fre", ["models > model > licence", "there is no 'fre'", "did you mean 'free'?"]),
        ("architecture: flux", "architecture: flox", ["models > model > architecture", "did you mean 'flux'?"]),
        ("gated: here, ", "", ["models > model > sources", "no source for 'gated'"]),
        ("gated: here", "gated: there", ["models > model > sources > gated", "there is no 'there'"]),
        ("gated: here", "gated: here, name: here", ["models > model > sources > name", "no field 'name'"]),
        ("width: 64", "width: 70", ["models > model > defaults", "width 70 is not a multiple of size_multiple 16"]),
        ("steps: 4", "frames: 80, fps: 16, frame_rule: 4k+1", ["defaults", "80 frames are not of the form 4k+1"]),
        ("steps: 4", "boundary_ratio: 0.9", ["models > model", "'transformer_2'"]),
        ("pipelines: {text_to_image: FluxPipeline}", "pipelines: {}", ["models > model", "open model needs 'pipelines'"]),
        ("class: CLIPTok", "class: clip tok", ["components > words > class", "found 'clip tokenizer'"]),
        ("someone/model/transformer", "https://x.y", ["components > net > locations > 0", "expected a text of the form"]),
        ("someone/model/transformer", "someone/model/../x", ["components > net > locations > 0", "of the form"]),
        ("parameters: 1000", "parameters: 0", ["components > net", "'parameters' above 0"]),
        ("    compute_dtype: bf16\n", "", ["components > net", "needs 'stored_dtype' and 'compute_dtype'"]),
        ("library: diffusers", "library: other", ["components > net > library", "expected one of 'diffusers' or"]),
        ("components:\n", "component:\n", ["component", "unknown section", "did you mean 'components'?"]),
        ('    name: "A model"\n', "    name: A\n    name: B\n", ["line", "the key 'name' was given before"]),
        ("models:\n  model:", "models:\n  model: [", ["line", "not valid YAML"]),
        ("licences:\n", "licences: free\nlicenses:\n", ["licences", "expected entries by their id"]),
    ],
)
def test_a_mistake_is_explained(tmp_path: Path, right: str, wrong: str, expected: list[str]) -> None:
    assert right in SMALL
    message = mistake(tmp_path, SMALL.replace(right, wrong, 1))
    assert message.startswith("registry.yaml: ")
    for part in expected:
        assert part in message


def test_a_file_that_is_no_registry(tmp_path: Path) -> None:
    assert "expected sections with entries, found list" in mistake(tmp_path, "- a\n- b\n")
    (tmp_path / "registry.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a text file in UTF-8"):
        read_registry(tmp_path / "registry.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_registry(tmp_path / "absent.yaml")


def test_python_objects_are_refused(tmp_path: Path) -> None:
    text = SMALL.replace('"A model"', "!!python/object/apply:os.getcwd []")
    assert "not valid YAML" in mistake(tmp_path, text)


def test_an_overlay_overrides_one_field(tmp_path: Path) -> None:
    registry = read(tmp_path, overlay="models: {model: {defaults: {steps: 8}}}")
    model = registry.model("model")
    assert model.defaults.steps == 8
    assert model.defaults.width == 64, "what the overlay does not name stays"
    assert model.sources["defaults"] == "overlay", "an overridden fact is the user's own"
    assert model.sources["gated"] == "here"
    assert not registry.sources["overlay"].verified


def test_an_overlay_adds_a_model_without_naming_sources(tmp_path: Path) -> None:
    registry = read(
        tmp_path,
        overlay="""
components:
  mine:
    class: FluxTransformer2DModel
    library: diffusers
    socket: FLUX_TRANSFORMER
    locations: [me/mine/transformer]
    parameters: 500
    stored_dtype: fp32
    compute_dtype: bf16
models:
  mine:
    name: "Mine"
    architecture: flux
    repository: me/mine
    licence: {name: "My own", commercial: no}
    pipelines: {text_to_image: FluxPipeline}
    components: {transformer: mine, tokenizer: words}
    advanced: true
""",
    )
    assert [model.id for model in registry.models_of("flux")] == ["model", "mine"]
    assert registry.model("mine").download_bytes == 2000
    assert set(registry.model("mine").sources.values()) == {"overlay"}


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        ("models: {model: {stepz: 8}}", ["models > model", "unknown key 'stepz'"]),
        ("models: {model: {defaults: {steps: x}}}", ["models > model > defaults > steps", "a whole number"]),
        ("models: {modell: {defaults: {steps: 8}}}", ["models > modell", "is missing"]),
        ("models: {model: 3}", ["models > model", "expected keys and values"]),
        ("models: {model: {name: A, name: B}}", ["line 1", "the key 'name' was given before"]),
        ("? [a, b]\n: c", ["line"]),
        ("model: {}", ["unknown section", "did you mean 'models'?"]),
        ("models: {model: {sources: {gated: nobody}}}", ["models > model > sources > gated", "there is no 'nobody'"]),
    ],
)
def test_a_mistake_in_the_overlay_is_the_overlays(tmp_path: Path, overlay: str, expected: list[str]) -> None:
    message = mistake(tmp_path, overlay=overlay)
    assert message.startswith("your own registry.yaml: ")
    for part in expected:
        assert part in message


def test_a_mistake_beneath_an_overlay_is_not_blamed_on_it(tmp_path: Path) -> None:
    message = mistake(tmp_path, SMALL.replace("steps: 4", "steps: x"), overlay="models: {model: {name: Mine}}")
    assert message.startswith("registry.yaml: models > model > defaults > steps")


def test_unknown_ids_are_met_with_the_nearest(tmp_path: Path) -> None:
    registry = read_registry(REGISTRY_FILE)
    with pytest.raises(UserError, match=r"no model 'flux\.1-DEV'\. Did you mean FLUX\.1-dev"):
        registry.model("flux.1-DEV")
    with pytest.raises(UserError, match="no component 'zzz'"):
        registry.component("zzz")
