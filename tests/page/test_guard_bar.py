"""VRAMGuard draws what the graph needs, follows changes of the graph, and says what a run took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from advanced_models.host.measure import main_memory
from advanced_models.loaders.registry import load_registry
from advanced_models.memory.estimate_values import Libraries
from advanced_models.memory.plan_values import GIB, Machine
from advanced_models.memory.preflight import model_preflight, preflight_of_prompt, to_json
from advanced_models.nodes.guard import report_text
from page_browser import GraphPage
from page_server import PACK_NAME, PageServer

EXAMPLE = Path(__file__).parents[2] / "example_workflows" / "flux_vram_guard.json"
LOCALES = Path(__file__).parents[2] / "locales"
GUARD, DENOISE = 7, 3
PANEL = "[aria-label='Whether the graph fits']"


@pytest.fixture
def example() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    next(node for node in found["nodes"] if node["id"] == GUARD)["widgets_values"] = ["warn", 48, True]
    return found


def shown(graph: GraphPage, words: str) -> str:
    panel = graph.page.locator(PANEL).filter(has_text=words)
    panel.wait_for(timeout=20_000)
    return panel.inner_text()


def test_the_tightest_stage_is_drawn(graph: GraphPage, example: dict[str, Any]) -> None:
    graph.open(example)
    text = shown(graph, "Fits")
    assert "Tightest: denoise (transformer)" in text and "of 47.3 GiB" in text
    assert "transformer 22.2 GiB" in text and "activations and workspace" in text and "reserve" in text
    spans = graph.page.locator(f"{PANEL} .bar > span")
    widths = [box["width"] for box in spans.evaluate_all("spans => spans.map((span) => span.getBoundingClientRect().toJSON())")]
    # Half of the bar or so is the transformer: its 22.2 GiB of 47.3 GiB, the limit's line being the last.
    bar = graph.page.locator(f"{PANEL} .bar").bounding_box()
    assert bar is not None and 0.40 < widths[0] / bar["width"] < 0.50


def test_it_follows_the_graph(graph: GraphPage, example: dict[str, Any]) -> None:
    graph.open(example)
    shown(graph, "Fits")
    graph.widget(GUARD, "budget", 6)
    graph.page.evaluate("() => app.graph.change()")
    graph.page.mouse.click(700, 800)  # the page looks for changes when the user has done something
    text = shown(graph, "5.9 GiB")
    assert "Does not fit" in text or "Fits with a plan" in text


def test_after_a_run_it_says_what_was_measured(graph: GraphPage, server: PageServer, example: dict[str, Any]) -> None:
    graph.open(example)
    shown(graph, "Fits")
    before = graph.saved()
    assert graph.run() == "execution_success"
    assert "not measured" in shown(graph, "Last run: predicted")
    assert graph.saved() == before


@pytest.mark.parametrize(("mode", "budget"), [("warn", 48), ("fix", 24), ("warn", 12), ("fix", 6)])
def test_its_words_are_those_of_the_report(graph: GraphPage, example: dict[str, Any], mode: str, budget: int) -> None:
    next(node for node in example["nodes"] if node["id"] == GUARD)["widgets_values"] = [mode, budget, True]
    graph.open(example)
    shown(graph, "main memory:")
    lines = graph.page.locator(f"{PANEL} p.quiet").all_inner_texts()
    prompt = graph.page.evaluate("async () => (await app.graphToPrompt()).output")
    flight = preflight_of_prompt(prompt)
    report = flight.judge(Machine.of(budget, main_memory() / GIB), look_further=True)
    assert [line for line in lines if line] == report_text(flight, report, fixed=mode == "fix").splitlines()


@pytest.mark.parametrize(("model", "budget"), [("Wan2.1-T2V-14B", 5), ("Wan2.2-T2V-A14B", 5), ("Wan2.2-TI2V-5B", 5), ("FLUX.1-schnell", 2)])
def test_what_would_fit_is_said_as_in_the_report(graph: GraphPage, model: str, budget: int) -> None:
    flight = model_preflight(load_registry().model(model), Libraries())
    report = flight.judge(Machine.of(budget, 64))
    assert report.verdict == "does_not_fit"
    said = graph.page.evaluate(
        f"async (report) => (await import('/extensions/{PACK_NAME}/plan_words.mjs')).reportLines(report, false)",
        {**to_json(report), "notes": [], "unknown_files": []},
    )
    assert said == report_text(flight, report, fixed=False).splitlines()


def test_its_words_are_in_the_language_of_the_page(graph: GraphPage, example: dict[str, Any]) -> None:
    words = json.loads((LOCALES / "zh" / "main.json").read_text(encoding="utf-8"))["advancedModels"]
    next(node for node in example["nodes"] if node["id"] == GUARD)["widgets_values"] = ["fix", 24, True]
    graph.start(language="zh")
    try:
        graph.clear()
        graph.open(example)
        panel = graph.page.get_by_role("status", name=words["Whether the graph fits"])
        panel.filter(has_text=words["Fits with a plan"]).wait_for(timeout=60_000)
        lines = panel.locator("p.quiet").all_inner_texts()
        needed = words["As it is it needs {peak} on the card, of whose {room} {usable} can be filled safely."]
        assert lines[0] == needed.format(peak="23.2 GiB", room="23.6 GiB", usable="22.9 GiB")
        assert f"{words['text encoder']} 2: bf16, {words['stays on the card']}" in lines
        assert not any("weights" in line or "card" in line for line in lines)
    finally:
        graph.start()
        graph.clear()
