// How the Video tab looks, in the colours of the page's theme.
// @ts-check

export const STYLES = `
.advanced-models.video-tab { display: flex; flex-direction: column; gap: 6px; }
.advanced-models.video-tab > * { flex: none; }
.advanced-models.video-tab .clips { max-height: 32%; overflow: auto; min-height: 48px; flex: 0 1 auto; }
.advanced-models.video-tab .card { display: flex; gap: 8px; align-items: center; padding: 3px 0; }
.advanced-models.video-tab .card img { width: 80px; height: 54px; object-fit: contain; background: #000; flex: none; }
.advanced-models.video-tab .card > div { flex: 1 1 0; min-width: 0; overflow: hidden; text-overflow: ellipsis; }
.advanced-models.video-tab .card a { color: inherit; }
.advanced-models.video-tab input, .advanced-models.video-tab select { color: inherit; background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #555); border-radius: 4px; font: inherit; padding: 1px 4px; min-width: 0; }
.advanced-models.video-tab form input, .advanced-models.video-tab .row select { flex: 1 1 0; }
.advanced-models.video-tab input:focus-visible, .advanced-models.video-tab select:focus-visible, .advanced-models.video-tab a:focus-visible { outline: 2px solid var(--p-primary-color, #4aa3ff); }
.advanced-models.video-tab button:disabled { opacity: 0.5; cursor: default; }
.advanced-models.video-tab .blocks { display: flex; height: 64px; padding: 3px 0; overflow-x: auto; background: var(--comfy-menu-bg, #333); border-radius: 4px; }
.advanced-models.video-tab .blocks:empty { display: none; }
.advanced-models.video-tab .block { position: relative; flex: 1 0 28px; min-width: 28px; overflow: hidden; box-sizing: border-box; border: 2px solid var(--border-color, #555); border-radius: 4px; background: var(--comfy-input-bg, #222) center / auto 100% repeat-x; cursor: grab; user-select: none; touch-action: none; }
.advanced-models.video-tab .block[aria-selected="true"] { border-color: var(--p-primary-color, #4aa3ff); }
.advanced-models.video-tab .block:focus-visible { outline: 2px solid var(--am-text); outline-offset: -4px; }
.advanced-models.video-tab .block.moving { z-index: 1; opacity: 0.8; cursor: grabbing; }
.advanced-models.video-tab .caption { position: absolute; bottom: 0; inset-inline: 8px; text-align: center; font-size: 11px; color: #fff; background: #000a; white-space: nowrap; overflow: hidden; pointer-events: none; }
.advanced-models.video-tab .fade { position: absolute; inset-block: 0; inset-inline-start: 0; background: linear-gradient(to bottom right, #000c 49%, #fff3 51%); pointer-events: none; }
.advanced-models.video-tab .handle { position: absolute; inset-block: 0; width: 8px; background: #fff6; cursor: ew-resize; touch-action: none; }
.advanced-models.video-tab .handle.in { inset-inline-start: 0; }
.advanced-models.video-tab .handle.out { inset-inline-end: 0; }
.advanced-models.video-tab fieldset { border: 0; margin: 0; padding: 0; min-width: 0; }
.advanced-models.video-tab .fields { display: flex; flex-wrap: wrap; gap: 4px 10px; margin: 3px 0; }
.advanced-models.video-tab .fields input[type="number"] { width: 64px; }
.advanced-models.video-tab .timeline .player { height: 300px; margin-top: 6px; }
.advanced-models.video-tab .flipped { transform: scaleX(-1); }
.advanced-models.video-tab [hidden] { display: none; }
`;
