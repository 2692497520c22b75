"""Chromium with ComfyUI's page in it: open a graph, run it, and see what a user sees."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright

LOOPBACK = ("127.0.0.1", "localhost")
START_MS = 120_000
WINDOW = {"width": 1400, "height": 900}

# No tutorial, template browser, release note or old graph opens.
QUIET = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.UseNewMenu": "Top",
    "Comfy.Workflow.Persist": False,
    "Comfy.RightSidePanel.IsOpen": False,
}

EMPTY = {"last_node_id": 0, "last_link_id": 0, "nodes": [], "links": [], "version": 0.4}

READY = """() => window.app?.graph && window.app.extensionManager?.setting
    && Object.keys(window.LiteGraph?.registered_node_types ?? {}).length > 5
    && window.app.extensions.some((extension) => extension.name.startsWith("AdvancedModels"))"""

RUN = """async () => {
    const ended = new Promise((resolve) => {
        for (const kind of ["execution_success", "execution_error", "execution_interrupted"])
            app.api.addEventListener(kind, () => resolve(kind), { once: true });
    });
    await app.queuePrompt(0, 1);
    if (Object.keys(app.lastNodeErrors ?? {}).length) return JSON.stringify(app.lastNodeErrors);
    return await ended;
}"""


def front_ends() -> dict[str, Path]:
    """Version -> static files of the front ends that COMFYUI_FRONT_ENDS names: folders with a `comfyui-frontend-package` each."""
    found = {}
    for folder in filter(None, os.environ.get("COMFYUI_FRONT_ENDS", "").split(os.pathsep)):
        for package in distributions(path=[folder]):
            if package.metadata["Name"].replace("_", "-") == "comfyui-frontend-package":
                found[package.version] = Path(folder) / "comfyui_frontend_package" / "static"
    return found


def chromium() -> str | None:
    """The browser: CHROMIUM, else what is installed."""
    named = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    return next((path for name in named if name and (path := shutil.which(name))), None)


OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
OPTIONS += ["--disable-component-update", "--disable-sync"]


def launch(playwright: Playwright) -> Browser:
    """A headless browser that asks nobody but us."""
    return playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)


@contextmanager
def tabs(browser: Browser, profile: Path) -> Iterator[BrowserContext]:
    """Another browser, whose pages are hidden while another one of them is in front: those of `launch` never are."""
    options = [*OPTIONS, "--headless", "--remote-debugging-port=0", f"--window-size={WINDOW['width']},{WINDOW['height']}"]
    process = subprocess.Popen([str(chromium()), *options, f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.DEVNULL)
    try:
        port = profile / "DevToolsActivePort"
        deadline = time.monotonic() + START_MS / 1000
        while not port.is_file() or not port.read_text():
            assert process.poll() is None and time.monotonic() < deadline, "Chromium did not start"
            time.sleep(0.1)
        address = f"http://127.0.0.1:{port.read_text().splitlines()[0]}"
        connected = browser.browser_type.connect_over_cdp(address, no_defaults=True)
        yield connected.contexts[0]
        connected.close()
    finally:
        process.terminate()
        process.wait(timeout=30)


def settled(element: Locator) -> dict[str, float]:
    """Where an element is, once that has been the same for half a second: the front end may lay out a node several times."""
    before = None
    for _ in range(20):
        box = element.bounding_box()
        if box is not None and box == before:
            return dict(box)
        before = box
        element.page.wait_for_timeout(500)
    raise AssertionError(f"it never stands still: {before}")


class GraphPage:
    """A page of ComfyUI. `lines` is what it has written on the console since `start` or the last `clear`."""

    def __init__(self, browser: Browser | BrowserContext, url: str, *, nodes_2: bool, version: str) -> None:
        self.url = url
        self.nodes_2 = nodes_2
        """Whether nodes are HTML ("Nodes 2.0") instead of being drawn on a canvas."""
        self.version = version
        self.lines: list[str] = []
        self.outside: list[str] = []
        """Addresses outside this machine that were asked for, in vain."""
        context = browser.new_context(viewport=WINDOW, device_scale_factor=1) if isinstance(browser, Browser) else browser
        context.route("**/*", self._let_through)
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.lines.append(f"{message.type}: {message.text} ({message.location['url']})"))
        self.page.on("pageerror", lambda error: self.lines.append(f"error: {error.stack}"))
        self.page.on("response", lambda answer: answer.status >= 400 and self.lines.append(f"error: {answer.status} {answer.url}"))
        self.start()

    def start(self, *, language: str = "en", light: bool = False) -> None:
        """Load the page, anew where it is loaded already."""
        self.lines.clear()
        look = {"Comfy.Locale": language, "Comfy.ColorPalette": "light" if light else "dark"}
        settings = {**QUIET, "Comfy.VueNodes.Enabled": self.nodes_2, **look}
        self.page.request.post(f"{self.url}/api/settings", data=settings)
        self.page.goto(self.url, wait_until="domcontentloaded", timeout=START_MS)
        self.page.wait_for_function(READY, timeout=START_MS)
        self.page.wait_for_timeout(1000)

    def close(self) -> None:
        self.page.context.close()

    def clear(self) -> None:
        """An empty graph, no toasts, and forget what was written on the console."""
        self.page.evaluate("async (empty) => { app.extensionManager.toast.removeAll?.(); await app.loadGraphData(empty); }", EMPTY)
        self.page.mouse.move(5, 500)
        self.lines.clear()

    def open(self, workflow: dict[str, Any], scale: float = 1.0) -> None:
        """Open a workflow in the form that the page saves."""
        # Both front ends change the object that they are given.
        self.page.evaluate("async (graph) => { await app.loadGraphData(graph, true, true, 'test'); }", copy.deepcopy(workflow))
        self.page.evaluate(
            "(scale) => { Object.assign(app.canvas.ds, { scale, offset: [80, 90] }); app.canvas.setDirty(true, true); }", scale
        )
        self.page.wait_for_timeout(500)

    def run(self) -> str:
        """Queue the graph and wait for its end: `execution_success`, or what was refused."""
        ended: str = self.page.evaluate(RUN)
        return ended

    def saved(self) -> dict[str, Any]:
        """The workflow as the page would save it, without the view and the order and size of what stands in it."""
        graph: dict[str, Any] = self.page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")
        return {
            "nodes": {str(node["id"]): {key: node.get(key) for key in ("type", "widgets_values", "properties")} for node in graph["nodes"]},
            "links": sorted([str(value) for value in link] for link in graph["links"]),
        }

    def widget(self, node_id: int, name: str, value: object) -> None:
        """Choose a value in a node's widget, as a user's choice reaches it."""
        self.page.evaluate(
            """([id, name, value]) => {
                const node = app.graph.getNodeById(id);
                const widget = node.widgets.find((widget) => widget.name === name);
                widget.value = value;
                widget.callback?.(value, app.canvas, node);
            }""",
            [node_id, name, value],
        )

    def slot(self, node_id: int, index: int, side: str) -> tuple[float, float]:
        """Where a node's "input" or "output" is in the window."""
        if self.nodes_2:
            box = self.page.locator(f'[data-slot-key="{node_id}-{"in" if side == "input" else "out"}-{index}"]').first.bounding_box()
            assert box is not None
            return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        x, y = self.page.evaluate(
            """([id, index, isInput]) => {
                const [x, y] = app.graph.getNodeById(id).getConnectionPos(isInput, index);
                const { offset, scale } = app.canvas.ds;
                const box = app.canvas.canvas.getBoundingClientRect();
                return [box.x + (x + offset[0]) * scale, box.y + (y + offset[1]) * scale];
            }""",
            [node_id, index, side == "input"],
        )
        return x, y

    def screenshot(self, path: Path, *, clip: Any = None) -> None:
        """A picture of the window, or of a part of it: x, y, width, height."""
        self.page.screenshot(path=path, clip=clip)

    def toggle_tab(self, name: str) -> None:
        """Open a tab of the sidebar, or close it."""
        self.page.evaluate("(name) => app.extensionManager.sidebarTab.toggleSidebarTab(name)", name)

    def about_us(self) -> list[str]:
        """What the console says of this pack: its files, its routes, its extension."""
        return [line for line in self.lines if "advanced_models" in line or "AdvancedModels" in line]

    def complaints(self) -> list[str]:
        """Errors and notices on the console, and whatever it says of this pack."""
        notices = [line for line in self.lines if line.startswith("error:") or "deprecat" in line.lower() or "ComfyUI Notice" in line]
        return notices + [line for line in self.about_us() if line not in notices]

    def _let_through(self, route: Any) -> None:
        address = route.request.url
        host = address.split("//", 1)[-1].split("/", 1)[0].split(":")[0]
        if host in LOOPBACK or address.startswith(("data:", "blob:")):
            route.continue_()
        else:
            self.outside.append(address)
            route.abort()
