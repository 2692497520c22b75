// A <video> by its frames: which one is on the screen, and going to one exactly.
// @ts-check

/** Where in a frame a seek aims: its middle, because containers round time stamps and a frame's own time may lie before it. */
const MIDDLE = 0.5;
/** A hidden page composes no frames; then the element's own clock has to do. */
const PATIENCE_MS = 1500;

export class Frames {
  /**
   * @param {HTMLVideoElement} video
   * @param {{ frame_rate: [number, number], frame_count: number }} clip
   * @param {(frame: number) => void} shown called for every frame that has come onto the screen
   */
  constructor(video, clip, shown) {
    this.video = video;
    this.rate = clip.frame_rate[0] / clip.frame_rate[1];
    this.count = clip.frame_count;
    this.first = 0;
    this.last = clip.frame_count - 1;
    this.loops = true;
    this.speed = 1;
    /** The frame that is on the screen. */
    this.frame = 0;
    /** 1 forwards, -1 backwards, 0 at rest. */
    this.direction = 0;
    this._shown = shown;
    /** @type {number | null} */
    this._wanted = null;
    /** @type {Promise<number> | null} */
    this._seeking = null;
    video.addEventListener("ended", () => this._atEnd());
    video.requestVideoFrameCallback((_, data) => this._follow(data));
  }

  /**
   * Show one frame; of several calls while one is under way only the latest counts.
   * @param {number} frame
   * @returns {Promise<number>} the frame that is on the screen then
   */
  seek(frame) {
    this._wanted = Math.min(Math.max(Math.round(frame), 0), this.count - 1);
    this._seeking ??= this._seekAll().finally(() => (this._seeking = null));
    return this._seeking;
  }

  async _seekAll() {
    while (this._wanted !== null) {
      const wanted = this._wanted;
      this._wanted = null;
      await this._seekOne(wanted);
    }
    return this.frame;
  }

  /** @param {number} wanted */
  _seekOne(wanted) {
    const { video } = this;
    return new Promise((/** @type {(done: void) => void} */ done) => {
      const finish = () => {
        clearTimeout(timer);
        video.cancelVideoFrameCallback(callback);
        done();
      };
      const timer = setTimeout(() => {
        this._note(Math.floor(video.currentTime * this.rate));
        finish();
      }, PATIENCE_MS);
      const look = (/** @type {number} */ _, /** @type {{ mediaTime: number }} */ data) => {
        this._note(this._frameAt(data.mediaTime));
        // A frame that was composed before the seek may still come first.
        if (this.frame === wanted || this.direction > 0) finish();
        else callback = video.requestVideoFrameCallback(look);
      };
      let callback = video.requestVideoFrameCallback(look);
      video.currentTime = (wanted + MIDDLE) / this.rate;
    });
  }

  /** @param {number} seconds the time stamp of a frame */
  _frameAt(seconds) {
    return Math.round(seconds * this.rate);
  }

  /** @param {number} frame */
  _note(frame) {
    this.frame = frame;
    this._shown(frame);
  }

  /** @param {{ mediaTime: number }} data */
  _follow(data) {
    if (this.direction > 0 && !this._seeking) {
      this._note(this._frameAt(data.mediaTime));
      if (this.frame >= this.last && this.last < this.count - 1) this._atEnd();
    }
    this.video.requestVideoFrameCallback((_, next) => this._follow(next));
  }

  async _atEnd() {
    if (this.direction <= 0) return;
    if (!this.loops) return this.pause();
    this.video.pause(); // no frame beyond the end while the seek is under way
    await this.seek(this.first);
    if (this.direction > 0) await this._start();
  }

  async play() {
    this.direction = 1;
    if (this.frame >= this.last || this.frame < this.first) await this.seek(this.first);
    await this._start();
  }

  async _start() {
    this.video.playbackRate = this.speed;
    try {
      await this.video.play();
    } catch (error) {
      // A pause that came before playing began is no fault.
      if (/** @type {Error} */ (error).name !== "AbortError") throw error;
    }
  }

  /** Backwards, frame by frame; where decoding is slower than the clip, frames are left out. */
  async playBackwards() {
    if (this.direction < 0) return;
    this.video.pause();
    this.direction = -1;
    let [from, since] = [this.frame, performance.now()];
    while (this.direction < 0) {
      await new Promise((next) => setTimeout(next, 1000 / (this.rate * this.speed)));
      if (this.direction >= 0) return;
      const passed = Math.max(1, Math.floor(((performance.now() - since) / 1000) * this.rate * this.speed));
      if (this.frame > this.first) await this.seek(Math.max(this.first, from - passed));
      else if (!this.loops) this.direction = 0;
      else {
        await this.seek(this.last);
        [from, since] = [this.last, performance.now()];
      }
    }
    this._shown(this.frame);
  }

  /** Stop, exactly on the frame that was shown last. */
  async pause() {
    this.direction = 0;
    this.video.pause();
    await this.seek(this.frame);
  }

  /** @param {number} by frames, negative for backwards */
  async step(by) {
    if (this.direction) await this.pause();
    return this.seek((this._wanted ?? this.frame) + by);
  }

  /** @param {number} speed 1 is the clip's own */
  setSpeed(speed) {
    this.speed = speed;
    this.video.playbackRate = speed;
  }
}
