"""VRAMGuard: what it hands on, what it says, and that it reads the graph it stands in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import advanced_models.host
import pytest
from advanced_models import NODE_CLASS_MAPPINGS
from advanced_models.cli.check import known_definitions
from advanced_models.errors import UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.component import select_component
from advanced_models.memory.apply_plan import changed
from advanced_models.memory.plan_values import Choice, Plan
from advanced_models.nodes.guard import ANY, MOST_COMPONENTS, VRAMGuard
from advanced_models.workflows.document import read_workflow

EXAMPLES = Path(__file__).parents[1] / "example_workflows"


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandaloneHost:
    own = StandaloneHost.below(tmp_path)
    monkeypatch.setattr(advanced_models.host, "_standalone", own)
    # A machine with enough main memory, whatever this one has.
    monkeypatch.setattr("advanced_models.memory.plan_values.HOST_OVERHEAD", -(2**40))
    return own


def graph(name: str) -> dict[str, Any]:
    return read_workflow(EXAMPLES / name).prompt(known_definitions()).to_api()


def wan_5b() -> tuple[Any, ...]:
    parts: tuple[Any, ...] = NODE_CLASS_MAPPINGS["WanLoader"]().select("Wan2.2-TI2V-5B")
    return parts


def guarded(mode: str, budget: float, prompt: dict[str, Any], *values: Any, **options: Any) -> tuple[Any, ...]:
    components = {f"component_{number}": value for number, value in enumerate(values, start=1)}
    answer = VRAMGuard().guard(mode=mode, budget=budget, prompt=prompt, unique_id="9", **components, **options)
    assert answer["ui"]["text"] == [answer["result"][MOST_COMPONENTS + 1]]
    result: tuple[Any, ...] = answer["result"]
    assert len(result) == len(VRAMGuard.RETURN_TYPES) == len(VRAMGuard.RETURN_NAMES)
    return result


def test_it_changes_the_plan_so_that_the_graph_fits() -> None:
    transformer, text_encoder, vae, *_ = wan_5b()
    native = object()
    result = guarded("fix", 24, graph("wan_5b_image_to_video.json"), transformer, text_encoder, vae, native)
    plan, report, fits = result[MOST_COMPONENTS:]
    assert fits is True
    assert result[0] == replace(transformer, transformer=replace(transformer.transformer, placement="resident"))
    assert result[2].tile == 0 and vae.tile is None
    assert result[2].id == vae.id and result[2].precision == vae.precision
    assert result[3] is native
    assert result[4:MOST_COMPONENTS] == (None,) * 4
    assert isinstance(plan, Plan)
    assert plan.choices["vae"].tile == 0
    for words in ("31.8 GiB on the card, of whose 23.6 GiB 22.9 GiB", "decode", "in tiles", "Changed to a plan"):
        assert words in report


def test_warn_changes_nothing() -> None:
    _, _, vae, *_ = wan_5b()
    result = guarded("warn", 24, graph("wan_5b_image_to_video.json"), vae)
    assert result[0] is vae
    assert result[-1] is False
    assert isinstance(result[MOST_COMPONENTS], Plan)


def test_it_reads_the_sizes_behind_it() -> None:
    prompt = graph("wan_5b_image_to_video.json")
    for node in prompt.values():
        if "frames" in node["inputs"]:
            node["inputs"] |= {"frames": 17, "width": 512, "height": 512}
    assert guarded("fix", 24, prompt)[-1] is True
    assert "Fits:" in guarded("fix", 24, prompt)[-2]


def test_what_cannot_fit_says_what_would() -> None:
    *_, report, fits = guarded("fix", 6, graph("wan_a14b_text_to_video.json"))
    assert fits is False
    assert "What would fit" in report


def test_block_stops_the_run_without_comfyui() -> None:
    with pytest.raises(UserError, match="A plan needs"):
        guarded("block", 8, graph("flux_text_to_image.json"))


def test_block_hands_on_the_hosts_blocker(host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandaloneHost, "blocker", lambda self, message: ("blocked", message))
    result = guarded("block", 8, graph("flux_text_to_image.json"))
    assert [value[0] for value in result[:MOST_COMPONENTS]] == ["blocked"] * MOST_COMPONENTS
    assert "A plan needs" in result[0][1]
    assert result[-1] is False


def test_without_a_card_nothing_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandaloneHost, "device_memory", lambda self: None)
    result = guarded("block", 0, graph("flux_text_to_image.json"), "anything")
    assert result[0] == "anything"
    assert "no card" in result[-2]
    assert result[-1] is True


def test_the_cards_free_memory_is_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandaloneHost, "device_memory", lambda self: 48 * 2**30)
    assert guarded("block", 0, graph("flux_text_to_image.json"))[-1] is True
    monkeypatch.setattr(StandaloneHost, "device_memory", lambda self: 8 * 2**30)
    assert guarded("warn", 0, graph("flux_text_to_image.json"))[-1] is False


def test_it_runs_again_only_when_the_graph_needs_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = graph("flux_text_to_image.json")
    monkeypatch.setattr(StandaloneHost, "running_prompt", lambda self: prompt)
    first = VRAMGuard.IS_CHANGED(mode="fix")
    seed = next(node for node in prompt.values() if node["class_type"] == "FluxDenoise")["inputs"]
    seed["seed"] = 7
    assert VRAMGuard.IS_CHANGED(mode="fix") == first
    seed["width"] = 512
    assert VRAMGuard.IS_CHANGED(mode="fix") != first


def test_any_type_connects_to_any_socket() -> None:
    assert (ANY != "FLUX_TRANSFORMER") is False
    assert json.dumps(VRAMGuard.RETURN_TYPES[0]) == '"*"'
    assert "VRAMGuard" in NODE_CLASS_MAPPINGS


def test_only_what_the_loaders_can_do_is_put_into_a_handle() -> None:
    vae = select_component("FLUX.1-schnell", "vae")
    assert changed(vae, Choice("fp32", "offload_model")).precision == "fp32"
    assert changed(vae, Choice("bf16", "cpu")).device == "cpu"
    with pytest.raises(UserError, match="nf4"):
        changed(vae, Choice("nf4", "resident"))


def test_a_loaders_result_says_what_it_costs_and_what_to_mind() -> None:
    answer = NODE_CLASS_MAPPINGS["FluxLoader"]().load(model="FLUX.1-dev", precision="bf16")
    assert answer["result"] == NODE_CLASS_MAPPINGS["FluxLoader"]().select("FLUX.1-dev", "bf16")
    said = "\n".join(answer["ui"]["notices"])
    # 33.7 GB are the published sizes of the parts that are used, 31.4 GiB their parameters at two bytes each.
    for words in ("33.7 GB of files", "33.7 GB of it still to be downloaded", "31.4 GiB", "no commercial use", "Hugging Face account"):
        assert words in said
