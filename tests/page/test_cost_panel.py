"""Loaders say what they are about to cost, and say it anew when a choice changes."""

from __future__ import annotations

from typing import Any

from page_browser import GraphPage
from page_server import PageServer

PANEL = "[aria-label='What this loader costs']"


def loader(kind: str, *values: Any) -> dict[str, Any]:
    node = {"id": 1, "type": kind, "pos": [40, 40], "size": [420, 420], "flags": {}, "order": 0, "mode": 0, "properties": {}}
    return {"last_node_id": 1, "last_link_id": 0, "nodes": [{**node, "widgets_values": list(values)}], "links": [], "version": 0.4}


def shown(graph: GraphPage, *wanted: str) -> str:
    """The panel's text, once every wanted word stands in it."""
    graph.page.wait_for_function(
        """([selector, wanted]) => {
            const text = [...document.querySelectorAll(selector)].map((panel) => panel.innerText).join();
            return wanted.every((word) => text.includes(word));
        }""",
        arg=[PANEL, list(wanted)],
        timeout=15_000,
    )
    return graph.page.locator(PANEL).first.inner_text()


def test_a_gated_model_of_flux(graph: GraphPage, server: PageServer) -> None:
    graph.open(loader("FluxLoader", "FLUX.1-dev", "auto", "auto"))
    # 11.9 G, 4.76 G, 0.12 G and 0.08 G parameters of two bytes, as the hub's files of FLUX.1-dev have them.
    text = shown(graph, "33.7 GB", "nothing of it is here", "31.4 GiB", "no commercial use", "gated", "advanced")
    assert "transformer 22.2 GiB bf16" in text and "text encoder 2 8.9 GiB" in text
    assert graph.page.locator(PANEL).first.is_visible()
    assert "Large download" in text


def test_it_follows_the_choices(graph: GraphPage) -> None:
    graph.open(loader("FluxLoader", "FLUX.1-dev", "auto", "auto"))
    shown(graph, "no commercial use")
    graph.widget(1, "model", "FLUX.1-schnell")
    assert "no commercial use" not in shown(graph, "commercial use allowed", "Apache")
    graph.widget(1, "precision", "fp32")
    shown(graph, "transformer 44.3 GiB fp32", "62.8 GiB")
    assert graph.saved()["nodes"]["1"]["widgets_values"] == ["FLUX.1-schnell", "fp32", "auto"]


def test_only_the_parts_that_a_precision_is_for(graph: GraphPage) -> None:
    graph.open(loader("WanLoader", "Wan2.2-T2V-A14B", "bf16", "auto"))
    shown(graph, "transformer 2 26.7 GiB bf16", "vae 0.5 GiB fp32", "Very large download")


def test_one_encoder_has_its_own_size(graph: GraphPage) -> None:
    graph.open(loader("TextEncoderPicker", "FLUX.1: T5-XXL", "auto", "auto", "auto", "auto"))
    assert "Large download" not in shown(graph, "Download 9.5 GB", "8.9 GiB")


def test_the_prompt_holds_nothing_of_it(graph: GraphPage, server: PageServer) -> None:
    graph.open(loader("FluxLoader", "FLUX.1-schnell", "auto", "auto"))
    prompt = graph.page.evaluate("async () => (await app.graphToPrompt()).output")
    assert prompt["1"]["inputs"] == {"model": "FLUX.1-schnell", "precision": "auto", "source": "auto"}
