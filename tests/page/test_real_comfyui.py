"""The page of a real ComfyUI: its server, our pack in it, small models that really run, and what a user sees of them.

The front end is the oldest of COMFYUI_FRONT_ENDS that is not older than the one the checkout asks for, else that of its environment.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import page_browser
import pytest
import torch
from advanced_models.demo.build import build
from advanced_models.host.standalone import StandaloneHost
from advanced_models.video.frames import FileFrames
from clips import save
from comfyui_server import Server, checkouts, running
from page_browser import GraphPage
from player_page import FRAMES, PLAYER, WORKFLOW, goes_to
from playwright.sync_api import Browser
from small_examples import CLIP, EXAMPLES, small_values
from test_cost_panel import PANEL as COST
from test_guard_bar import PANEL as VERDICT
from test_progress_line import LINE
from test_sidebar import TAB

pytestmark = pytest.mark.comfyui
MODELS = ("FLUX.1-schnell", "Wan2.1-T2V-1.3B")
PATIENCE_MS = 120_000
SEEDS = count(1)
WORKFLOWS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in EXAMPLES}

if not checkouts():
    pytest.skip("no ComfyUI: set COMFYUI_PATH to a checkout", allow_module_level=True)
if page_browser.chromium() is None:
    pytest.skip("no browser for the page of ComfyUI", allow_module_level=True)

WATCH = """(line) => {
    const seen = (window.seenProgress = []);
    const look = () => seen.push(document.title, ...[...document.querySelectorAll(line)].map((found) => found.textContent));
    window.progressWatcher?.disconnect();
    window.progressWatcher = new MutationObserver(look);
    window.progressWatcher.observe(document.documentElement, { subtree: true, childList: true, characterData: true });
}"""
"""Note every state of the page's title, which counts the running node's steps, and of the line on the node."""

PICTURE = """(player) => {
    const video = player.querySelector("video");
    const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
    const drawing = canvas.getContext("2d");
    drawing.drawImage(video, 0, 0);
    return [...drawing.getImageData(0, 0, canvas.width, canvas.height).data].filter((_, index) => index % 4 < 3);
}"""
"""The colours of the picture that a player shows, row by row."""


def asked_version(checkout: Path) -> tuple[int, ...]:
    """The front end's version that a checkout's requirements name."""
    found = re.search(r"comfyui-frontend-package==([\d.]+)", (checkout / "requirements.txt").read_text(encoding="utf-8"))
    assert found
    return as_numbers(found[1])


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def front_end(checkout: Path) -> tuple[str, Path | None]:
    """Version and files of the page to serve; no files where the environment's own is taken."""
    asked = asked_version(checkout)
    fitting = {version: folder for version, folder in page_browser.front_ends().items() if as_numbers(version) >= asked}
    version = min(fitting, key=as_numbers, default="")
    return (version, fitting[version]) if version else (".".join(map(str, asked)), None)


# As in conftest.py: earlier trials of HTML nodes showed no DOM widgets.
PAGES = [(path, nodes_2) for path in checkouts() for nodes_2 in (False, True) if not nodes_2 or as_numbers(front_end(path)[0]) >= (1, 33)]


@pytest.fixture(scope="module")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for model in MODELS:
        build(model, folder / "diffusers" / model)
    return folder


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> StandaloneHost:
    """For writing a clip."""
    return StandaloneHost.below(tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="module", params=PAGES, ids=lambda page: f"{page[0].name} {'nodes 2.0' if page[1] else 'canvas'}")
def real(
    request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory, small_models: Path
) -> Iterator[tuple[GraphPage, Server]]:
    """A page of a ComfyUI, and the ComfyUI."""
    checkout, nodes_2 = request.param
    version, files = front_end(checkout)
    with running(checkout, tmp_path_factory.mktemp("comfyui") / "base", small_models, files) as server:
        page = GraphPage(browser, server.url, nodes_2=nodes_2, version=version)
        page.page.set_default_timeout(PATIENCE_MS)
        yield page, server
        page.close()


@pytest.fixture
def server(real: tuple[GraphPage, Server]) -> Server:
    return real[1]


@pytest.fixture
def page(real: tuple[GraphPage, Server]) -> Iterator[GraphPage]:
    """The page with an empty graph. After the test nothing may have been complained about."""
    page = real[0]
    page.clear()
    yield page
    assert page.complaints() == []


def opened(page: GraphPage, name: str) -> dict[str, Any]:
    """An example, opened and then made small as a user does it. Returns how the page would save it."""
    workflow = WORKFLOWS[name]
    page.open(workflow, scale=0.6)
    kept = {node: entry["widgets_values"] or [] for node, entry in page.saved()["nodes"].items()}
    assert kept == {str(node["id"]): node.get("widgets_values") or [] for node in workflow["nodes"]}
    for node in workflow["nodes"]:
        names = page.page.evaluate("id => (app.graph.getNodeById(id).widgets ?? []).map((widget) => widget.name)", node["id"])
        seed = {"seed": next(SEEDS)} if "seed" in names else {}  # what has run before would not run again
        for widget, value in {**small_values(node["type"], names), **seed}.items():
            page.widget(node["id"], widget, value)
    return page.saved()


def run(page: GraphPage) -> None:
    assert page.run() == "execution_success"


def player_of(page: GraphPage) -> Any:
    """The player, once it shows the first frame of a result."""
    player = page.page.locator(PLAYER)
    player.locator("video").wait_for()
    page.page.wait_for_function("video => video.readyState >= 2 && !video.seeking", arg=player.locator("video").element_handle())
    player.get_by_label("Go to frame").wait_for()
    return player


def loaded(server: Server) -> list[str]:
    """The components that the store holds, in its order."""
    return [entry["component"] for entry in server.ask("/advanced_models/status")["store"]]


def test_the_pack_is_loaded_without_a_word(page: GraphPage, server: Server) -> None:
    page.start()
    assert page.about_us() == []
    gauge = page.page.locator(".advanced-models.gauge").filter(has_text="GiB")
    gauge.wait_for()
    total = server.ask("/advanced_models/status")["memory"]["main"]["total_bytes"]
    assert f"/ {total / 2**30:.1f} GiB" in gauge.inner_text()
    page.clear()


def test_a_loader_says_what_it_costs(page: GraphPage, server: Server) -> None:
    opened(page, "flux_text_to_image")
    panel = page.page.locator(COST).filter(has_text="33.7 GB")
    panel.wait_for()
    assert panel.is_visible()
    text = panel.inner_text()
    assert "all of it is here" in text and "31.4 GiB" in text and "Apache-2.0: commercial use allowed" in text
    page.widget(1, "model", "FLUX.1-dev")
    page.page.locator(COST).filter(has_text="no commercial use").wait_for()


def test_the_guard_draws_its_verdict_and_the_graph_runs(page: GraphPage, server: Server) -> None:
    opened(page, "flux_vram_guard")
    (guard,) = (node["id"] for node in WORKFLOWS["flux_vram_guard"]["nodes"] if node["type"] == "VRAMGuard")
    page.widget(guard, "budget", 48)
    page.page.mouse.click(700, 800)  # the page looks for changes when the user has done something
    verdict = page.page.locator(VERDICT)
    verdict.filter(has_text="47.3 GiB").wait_for()
    prompt = page.page.evaluate("async () => (await app.graphToPrompt()).output")
    answer = server.ask("/advanced_models/preflight", {"prompt": prompt, "vram": 48})
    assert "Fits" in verdict.inner_text() and answer["verdict"] == "fits"
    peak = answer["stage"]["bytes"] / 2**30
    assert f"Tightest: denoise (transformer), {peak:.1f} GiB of 47.3 GiB" in verdict.inner_text()
    before = page.saved()
    run(page)
    verdict.filter(has_text="Last run: predicted").wait_for()
    assert page.saved() == before
    # ComfyUI's own preview of the picture that was saved.
    page.page.wait_for_function("() => Object.values(app.nodeOutputs).some((output) => output.images?.[0].filename.endsWith('.png'))")


def test_a_clip_is_made_and_played(page: GraphPage, server: Server) -> None:
    for entry in server.ask("/advanced_models/status")["store"]:
        server.ask("/advanced_models/free", {"id": entry["id"]})
    before = opened(page, "wan_text_to_video")
    page.page.evaluate(WATCH, LINE)
    run(page)
    assert page.saved() == before
    seen = page.page.evaluate("() => window.seenProgress")
    steps = {int(found[1]) for text in seen if (found := re.search(r"\[(\d+)%\] ?WanDenoise", text))}
    assert any(0 < step < 100 for step in steps)
    assert any(text.startswith("loading the transformer of Wan 2.1 T2V 1.3B") for text in seen)
    assert page.page.locator(LINE).count() == 0

    player = player_of(page)
    source = player.locator("video").evaluate("video => video.currentSrc")
    (file,) = sorted((server.base / "output" / "wan").glob("*.mp4"))
    assert source.startswith(f"{server.url}/api/view?") and f"filename={file.name}" in source
    size = player.locator("video").evaluate("video => [video.videoWidth, video.videoHeight]")
    assert size == [CLIP["width"], CLIP["height"]]
    decoded = (torch.cat(list(FileFrames(str(file)).chunks())) * 255).flatten(1)
    number = player.get_by_label("Go to frame")
    for frame in range(CLIP["frames"]):
        page.page.wait_for_function("([field, frame]) => field.value === frame", arg=[number.element_handle(), str(frame)])
        picture = torch.tensor(player.evaluate(PICTURE))
        assert (decoded - picture).abs().mean(1).argmin() == frame
        player.press("ArrowRight")
    player.press("l")
    page.page.wait_for_function("video => video.currentTime > 0 && !video.paused", arg=player.locator("video").element_handle())
    player.press("k")


def test_what_is_loaded_stands_in_the_sidebar(page: GraphPage, server: Server) -> None:
    opened(page, "flux_text_to_image")
    run(page)
    page.toggle_tab("advanced-models")
    sidebar = page.page.locator(TAB)
    button = sidebar.get_by_role("button", name="Free the vae of FLUX.1 [schnell]", disabled=False)
    button.wait_for()
    held = loaded(server)
    buttons = sidebar.get_by_role("button", name=re.compile("^Free the ")).evaluate_all("all => all.map((button) => button.ariaLabel)")
    assert sorted(buttons) == sorted(f"Free the {component}" for component in held)
    assert sidebar.locator("summary").filter(has_text="Qwen-Image").count()
    button.click()
    button.wait_for(state="detached")
    held.remove("vae of FLUX.1 [schnell]")
    assert loaded(server) == held
    page.toggle_tab("advanced-models")


@pytest.mark.parametrize("format_name", ["mp4 (h264)", "webp"])
def test_no_frame_of_a_clip_is_wrong(page: GraphPage, server: Server, host: StandaloneHost, format_name: str) -> None:
    """A clip of another node's, with the frames' numbers in the picture, saved again and served by ComfyUI."""
    clip = save(host, range(FRAMES), folder=server.base / "input", prefix="numbered")
    combine = WORKFLOW["nodes"][0]
    load = {**combine, "id": 2, "type": "LoadVideo", "pos": [600, 100], "size": [300, 200], "widgets_values": [clip.path.name, "image"]}
    page.open({**WORKFLOW, "last_node_id": 2, "nodes": [combine, load]}, scale=0.8)
    page.page.evaluate(
        """() => {
            const [load, combine] = [2, 1].map((id) => app.graph.getNodeById(id));
            load.connect(0, combine, combine.findInputSlot("video"));
        }"""
    )
    page.widget(combine["id"], "format", format_name)
    before = page.saved()
    run(page)
    if format_name == "webp":
        page.page.get_by_role("button", name="Step through the frames of the picture").click()
    player = player_of(page)
    for order in (range(1, FRAMES), range(FRAMES - 2, -1, -1), random.Random(7).sample(range(FRAMES), FRAMES)):
        assert goes_to(player, list(order)) == list(order)
    assert page.saved() == before
