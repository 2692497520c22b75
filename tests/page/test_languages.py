"""The page in another language: the nodes' names, labels and tooltips, our own panels, and the help pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from advanced_models.loaders.registry import load_registry
from page_browser import GraphPage
from test_cost_panel import loader, shown

LOCALES = Path(__file__).parents[2] / "locales"
CHINESE = json.loads((LOCALES / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
WORDS = json.loads((LOCALES / "zh" / "main.json").read_text(encoding="utf-8"))["advancedModels"]


@contextmanager
def speaking(graph: GraphPage, language: str) -> Iterator[None]:
    graph.start(language=language)
    graph.clear()
    try:
        yield
    finally:
        graph.start()
        graph.clear()


@pytest.fixture
def chinese(graph: GraphPage) -> Iterator[GraphPage]:
    with speaking(graph, "zh"):
        yield graph


def test_nodes_and_panels_speak_chinese(chinese: GraphPage) -> None:
    chinese.open(loader("FluxLoader", "FLUX.1-dev", "auto", "auto"))
    names = CHINESE["FluxLoader"]
    said: Any = chinese.page.evaluate(
        """() => {
            const node = app.graph.getNodeById(1);
            const widgets = node.widgets.filter((widget) => widget.type === "combo");
            return {
                title: node.title,
                inputs: widgets.map((widget) => widget.label ?? widget.name),
                outputs: node.outputs.map((output) => output.label ?? output.localized_name ?? output.name),
            };
        }"""
    )
    assert said["title"] == names["display_name"]
    assert said["inputs"] == [names["inputs"][name]["name"] for name in ("model", "precision", "source")]
    assert said["outputs"] == [output["name"] for output in names["outputs"].values()]
    panel = chinese.page.locator(f"[aria-label='{WORDS['What this loader costs']}']")
    panel.get_by_text(WORDS["no commercial use"]).wait_for(timeout=15_000)
    assert "33.7 GB" in panel.inner_text() and WORDS["nothing of it is here"] in panel.inner_text()
    assert chinese.complaints() == []


@pytest.mark.parametrize("language", ["de", "zh"])
def test_the_registry_warns_in_the_language_of_the_page(graph: GraphPage, language: str) -> None:
    words = json.loads((LOCALES / language / "main.json").read_text(encoding="utf-8"))["advancedModels"]
    licence = words["The licence ({name}) does not allow commercial use of the model; {note}."]
    with speaking(graph, language):
        if graph.page.evaluate("() => app.extensionManager.setting.get('Comfy.Locale')") != language:
            pytest.skip(f"this front end is not offered in {language}")
        graph.open(loader("FluxLoader", "FLUX.1-dev", "auto", "auto"))
        panel = graph.page.locator(".advanced-models.panel")
        panel.filter(has_text=words["Large download: {size} GB."].format(size=34)).wait_for(timeout=60_000)
        graph.toggle_tab("advanced-models")
        models = graph.page.locator(".advanced-models.sidebar details.model")
        models.first.wait_for(state="attached", timeout=60_000)
        said = models.all_text_contents()
        graph.toggle_tab("advanced-models")
        flux_2 = licence.format(name="FLUX Non-Commercial License", note=words["the VAE is Apache-2.0"])
        assert any(flux_2 in text for text in said)
        english = {warning.text for model in load_registry().models.values() for warning in model.warnings}
        assert [text for text in english if any(text in model for model in said)] == []
        assert graph.complaints() == []


def test_english_asks_for_no_translation(graph: GraphPage) -> None:
    graph.open(loader("FluxLoader", "FLUX.1-dev", "auto", "auto"))
    shown(graph, "no commercial use")
    assert graph.page.evaluate("() => app.graph.getNodeById(1).title") == "FLUX Loader"


def help_page(graph: GraphPage) -> Any:
    """The help that the page shows for the node, opened as a user opens it."""
    graph.open(loader("FluxLoader", "FLUX.1-dev", "auto", "auto"))
    graph.page.evaluate("() => app.canvas.selectItems([app.graph.getNodeById(1)])")
    graph.page.get_by_test_id("info-button").click()
    help_page = graph.page.locator(".node-help-content")
    help_page.get_by_role("cell", name="FLUX_TRANSFORMER", exact=True).wait_for()
    return help_page


def test_the_help_page_of_a_node(graph: GraphPage) -> None:
    shown = help_page(graph)
    assert shown.get_by_role("heading", name="What to connect").is_visible()
    # The page asks for a translation first, and finds none into English.
    graph.lines[:] = [line for line in graph.lines if "404" not in line]
    graph.page.evaluate("() => app.canvas.deselectAll()")


def test_the_help_page_in_chinese(chinese: GraphPage) -> None:
    shown = help_page(chinese)
    assert shown.get_by_role("heading", name="如何连接").is_visible()
    assert CHINESE["FluxLoader"]["inputs"]["model"]["tooltip"] in shown.inner_text()
