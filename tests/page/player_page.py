"""A graph with the player on its VideoCombine, and going to its frames as a user does."""

from __future__ import annotations

from typing import Any

from clips import READ

FRAMES = 48
PLAYER = "[aria-label='Video player']"
WORKFLOW: dict[str, Any] = {
    "last_node_id": 1,
    "last_link_id": 0,
    "nodes": [
        {
            "id": 1,
            "type": "VideoCombine",
            "pos": [100, 100],
            "size": [420, 700],
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": [],
            "outputs": [],
            "properties": {},
            "widgets_values": [16, "mp4 (h264)", "high", "medium", "video/AdvancedModels", True, False, False, 0, "auto", "software", 0],
        }
    ],
    "links": [],
    "version": 0.4,
}


def goes_to(player: Any, frames: list[int]) -> list[int]:
    """Type each frame number, and read what is seen when the field says that it is there."""
    seen: list[int] = player.evaluate(
        f"""async (player, frames) => {{
            const read = {READ};
            const number = player.querySelector("[aria-label='Go to frame']");
            const slider = player.querySelector("[aria-label='Frame']");
            const seen = [];
            for (const frame of frames) {{
                number.value = frame;
                number.dispatchEvent(new Event("change"));
                const until = performance.now() + 5000;
                while (slider.value !== String(frame) && performance.now() < until) await new Promise((next) => setTimeout(next, 2));
                seen.push(read(player));
            }}
            return seen;
        }}""",
        frames,
    )
    return seen
