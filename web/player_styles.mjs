// How the player looks, in the colours of the page's theme.
// @ts-check

export const STYLES = `
.advanced-models.player { display: flex; flex-direction: column; gap: 4px; overflow: hidden; user-select: none; }
.advanced-models.player:focus-visible { outline: 2px solid var(--p-primary-color, #4aa3ff); outline-offset: -2px; }
.advanced-models.player .stage { position: relative; flex: 1 1 0; min-height: 0; background: #000; }
.advanced-models.player .stage:empty { background: none; }
.advanced-models.player .see-through { background: repeating-conic-gradient(#666 0 25%, #555 0 50%) 0 0 / 16px 16px; }
.advanced-models.player .stage video, .advanced-models.player .stage img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }
.advanced-models.player .seek { position: relative; flex: none; }
.advanced-models.player .seek input { width: 100%; margin: 0; display: block; }
.advanced-models.player .range { position: absolute; bottom: -2px; height: 3px; background: var(--p-primary-color, #4aa3ff); pointer-events: none; }
.advanced-models.player .controls { display: flex; flex-wrap: wrap; gap: 3px; align-items: center; flex: none; }
.advanced-models.player .button { display: inline-block; color: inherit; border: 1px solid var(--border-color, #555); border-radius: 4px; padding: 1px 8px; text-decoration: none; }
.advanced-models.player button[aria-pressed="true"] { background: var(--p-primary-color, #4aa3ff); color: #000; }
.advanced-models.player input[type="number"] { width: 56px; }
.advanced-models.player select, .advanced-models.player input[type="number"] { color: inherit; background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #555); border-radius: 4px; font: inherit; padding: 1px 3px; }
.advanced-models.player select { max-width: 130px; }
.advanced-models.player .button:focus-visible, .advanced-models.player input:focus-visible, .advanced-models.player select:focus-visible { outline: 2px solid var(--p-primary-color, #4aa3ff); }
.advanced-models.player .other { position: absolute; inset: 0; }
.advanced-models.player .divider { position: absolute; top: 0; bottom: 0; width: 3px; margin-inline-start: -1px; background: #fff; outline: 1px solid #000; pointer-events: none; }
.advanced-models.player .label { position: absolute; top: 2px; padding: 0 5px; max-width: 45%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; color: #fff; background: #000a; border-radius: 3px; pointer-events: none; }
.advanced-models.player:fullscreen { padding: 8px; background: var(--comfy-menu-bg, #222); }
.advanced-models.player [hidden] { display: none; }
`;
