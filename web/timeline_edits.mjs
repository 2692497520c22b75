// The edit list and what can be done to it, without a page: each change gives a new list. `video/edits.py` says what the fields mean.
// @ts-check

/** @typedef {{ filename: string, subfolder: string, type: string }} File */
/** @typedef {{ file: File, in: number, out: number, speed: number, fade: number }} Part */
/** @typedef {{ clips: Part[], audio?: { file: File, start: number } | null, frame_rate?: any, size?: any }} Edit */
/** @typedef {{ frame_rate: [number, number], frame_count: number }} Facts of a file */
/** @typedef {(file: File) => Facts | undefined} Known */

export const SPEEDS = { slowest: 0.05, fastest: 20 };

/**
 * @param {string} text
 * @returns {Edit}
 * @throws {Error} it is no edit list
 */
export function read(text) {
  const value = JSON.parse(text || "{}");
  if (!Array.isArray(value.clips ?? [])) throw new Error("The edit list has no list of clips.");
  const clips = (value.clips ?? []).map((/** @type {any} */ part) => ({ in: 0, speed: 1, fade: 0, ...part }));
  return { ...value, clips };
}

/**
 * One clip a line, so that two versions of a saved workflow can be compared.
 * @param {Edit} edit
 */
export function write(edit) {
  const { clips, ...rest } = edit;
  const others = Object.entries(rest).filter(([, value]) => value != null);
  const lines = clips.length ? `[\n${clips.map((part) => JSON.stringify(part)).join(",\n")}\n]` : "[]";
  return `{"clips": ${lines}${others.map(([name, value]) => `,\n${JSON.stringify(name)}: ${JSON.stringify(value)}`).join("")}}`;
}

/**
 * Frames per second of the result, or 0 where that is not known yet.
 * @param {Edit} edit
 * @param {Known} known
 */
export function rateOf(edit, known) {
  const [over, under] = edit.frame_rate ?? (edit.clips[0] && known(edit.clips[0].file)?.frame_rate) ?? [0, 1];
  return over / under || 0;
}

/**
 * Frames that a clip fills in the result.
 * @param {Part} part
 * @param {Edit} edit
 * @param {Known} known
 */
export function lengthOf(part, edit, known) {
  const facts = known(part.file);
  const rate = rateOf(edit, known);
  if (!facts || !rate) return part.out - part.in;
  const step = (part.speed * facts.frame_rate[0]) / facts.frame_rate[1] / rate;
  return Math.max(1, Math.floor((part.out - part.in) / step + 0.5));
}

/**
 * The list with fades that its clips have room for; the first clip has none.
 * @param {Edit} edit
 * @param {Known} known
 * @returns {Edit}
 */
export function settled(edit, known) {
  let free = 0;
  const clips = edit.clips.map((part) => {
    const length = lengthOf(part, edit, known);
    const fade = Math.max(0, Math.min(part.fade, free, length));
    free = length - fade;
    return { ...part, fade };
  });
  return { ...edit, clips };
}

/** @param {Edit} edit @param {Known} known @returns {number} frames of the result */
export function total(edit, known) {
  return edit.clips.reduce((sum, part) => sum + lengthOf(part, edit, known) - part.fade, 0);
}

/** @param {Edit} edit @param {File} file @param {Facts} facts @param {number} [at] @returns {Edit} */
export function add(edit, file, facts, at = edit.clips.length) {
  const part = { file, in: 0, out: facts.frame_count, speed: 1, fade: 0 };
  return { ...edit, clips: [...edit.clips.slice(0, at), part, ...edit.clips.slice(at)] };
}

/** @param {Edit} edit @param {number} index @returns {Edit} */
export function remove(edit, index) {
  return { ...edit, clips: edit.clips.filter((_, other) => other !== index) };
}

/** @param {Edit} edit @param {number} from @param {number} to @returns {Edit} */
export function move(edit, from, to) {
  const clips = remove(edit, from).clips;
  clips.splice(to, 0, edit.clips[from]);
  return { ...edit, clips };
}

/**
 * Two clips in place of one; `frame` of the file is the first of the second.
 * @param {Edit} edit
 * @param {number} index
 * @param {number} frame
 * @returns {Edit}
 */
export function split(edit, index, frame) {
  const part = edit.clips[index];
  if (frame <= part.in || frame >= part.out) return edit;
  const halves = [{ ...part, out: frame }, { ...part, in: frame, fade: 0 }];
  return { ...edit, clips: [...edit.clips.slice(0, index), ...halves, ...edit.clips.slice(index + 1)] };
}

/**
 * Some fields of one clip, brought into what its file and the server allow.
 * @param {Edit} edit
 * @param {number} index
 * @param {Partial<Part>} fields
 * @param {Known} known
 * @returns {Edit}
 */
export function change(edit, index, fields, known) {
  const part = { ...edit.clips[index], ...fields };
  const last = known(part.file)?.frame_count ?? part.out;
  if ("in" in fields) part.in = Math.min(Math.max(0, Math.round(part.in)), part.out - 1);
  if ("out" in fields) part.out = Math.max(Math.min(last, Math.round(part.out)), part.in + 1);
  part.speed = Math.min(Math.max(SPEEDS.slowest, part.speed || 1), SPEEDS.fastest);
  part.fade = Math.max(0, Math.round(part.fade) || 0);
  return { ...edit, clips: edit.clips.map((other, at) => (at === index ? part : other)) };
}

/** What was, what is, and what was undone. */
export class History {
  /** @param {string} text */
  constructor(text) {
    this.now = text;
    /** @type {string[]} */
    this.before = [];
    /** @type {string[]} */
    this.after = [];
  }

  /**
   * A new state; one that is the last or the next of those known is taken for an undo or a redo, which the page has as well.
   * @param {string} text
   */
  note(text) {
    if (text === this.now) return;
    if (text === this.before.at(-1)) return void this.undo();
    if (text === this.after.at(-1)) return void this.redo();
    this.before.push(this.now);
    this.after = [];
    this.now = text;
  }

  undo() {
    return this._step(this.before, this.after);
  }

  redo() {
    return this._step(this.after, this.before);
  }

  /** @param {string[]} from @param {string[]} to @returns {boolean} whether there was something to go to */
  _step(from, to) {
    const text = from.pop();
    if (text === undefined) return false;
    to.push(this.now);
    this.now = text;
    return true;
  }
}
