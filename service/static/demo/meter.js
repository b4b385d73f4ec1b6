// @ts-check
const BARS = 40;
const SPOKEN_EVERY_MS = 500;
/** Quieter than this, in decibels below full scale, is an empty meter. */
const FLOOR_DB = -54;
const STEP_MS = 1000 / 15;
/** Between two looks at a source that has fallen silent: often enough to be there when it is heard again. */
const SILENT_MS = 250;
/** Steps of a meter that must not move: it changes its fill, coarsely and seldom. */
const STILL_STEPS = 4;
const STILL_MS = 1000;

const stillness = matchMedia("(prefers-reduced-motion: reduce)");

/** A level meter: the last moments of a voice as a row of bars, newest at the right. */
export class Meter {
  #element;
  #canvas;
  /** @type {number[]} between 0 and 1 */
  #levels = Array(BARS).fill(0);
  /** @type {(() => number) | null} */
  #source = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #spokenAt = 0;

  /** @param {HTMLElement} element has `role=meter` from 0 to 100, and holds a canvas */
  constructor(element) {
    this.#element = element;
    this.#canvas = /** @type {HTMLCanvasElement} */ (element.querySelector("canvas"));
    // As many pixels as the screen has: the layout and the zoom decide.
    new ResizeObserver(() => this.#fit()).observe(this.#canvas);
    // The bars take their colour from the page, which may change it.
    new MutationObserver(() => this.#draw()).observe(document.documentElement, { attributes: true });
    for (const query of [stillness, matchMedia("(prefers-color-scheme: dark)"), matchMedia("(forced-colors: active)")]) {
      query.addEventListener("change", () => this.#draw());
    }
  }

  /** @param {(() => number) | null} level tells the loudness now, between 0 and 1 */
  set source(level) {
    this.#source = level;
    clearTimeout(this.#timer);
    if (level) this.#step(level);
    else this.#show(Array(BARS).fill(0), 0);
  }

  /** @param {() => number} level */
  #step(level) {
    if (!document.hidden) {
      const now = level();
      this.#show(stillness.matches ? filled(now) : [...this.#levels.slice(1), now], now);
    }
    const pause = this.#levels.some(Boolean) ? STEP_MS : SILENT_MS;
    this.#timer = setTimeout(() => this.#step(level), stillness.matches ? STILL_MS : pause);
  }

  /**
   * @param {number[]} levels
   * @param {number} last
   */
  #show(levels, last) {
    // Silence that goes on looks the same: nothing is drawn, and nothing is said.
    if (levels.every((level, index) => level === this.#levels[index])) return;
    this.#levels = levels;
    this.#draw();
    const now = performance.now();
    if (this.#source && now - this.#spokenAt < SPOKEN_EVERY_MS) return;
    this.#element.setAttribute("aria-valuenow", String(Math.round(last * 100)));
    this.#spokenAt = now;
  }

  #fit() {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.#canvas.height = Math.round(clientHeight * devicePixelRatio);
    this.#draw();
  }

  #draw() {
    const { width, height } = this.#canvas;
    const context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    context.clearRect(0, 0, width, height);
    context.fillStyle = getComputedStyle(this.#element).color;
    const pitch = width / BARS;
    this.#levels.forEach((value, index) => {
      const bar = Math.max(pitch * 0.5, value * height);
      context.globalAlpha = value ? 1 : 0.3;
      context.beginPath();
      context.roundRect(index * pitch, (height - bar) / 2, pitch * 0.5, bar, pitch / 4);
      context.fill();
    });
  }
}

/** @param {number} level */
function filled(level) {
  const lit = (Math.round(level * STILL_STEPS) / STILL_STEPS) * BARS;
  return Array.from({ length: BARS }, (_, index) => (index < lit ? 0.5 : 0));
}

/**
 * The loudness at an analyser.
 * @param {AnalyserNode} analyser
 */
export function analyserLevel(analyser) {
  const samples = new Float32Array(analyser.fftSize);
  return () => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    return audible(10 * Math.log10(power || Number.MIN_VALUE));
  };
}

/**
 * The loudness of what arrives over WebRTC, which the browser knows anyway.
 * @param {RTCRtpReceiver} receiver
 */
export function receiverLevel(receiver) {
  return () => {
    const level = receiver.getSynchronizationSources()[0]?.audioLevel ?? 0;
    return audible(20 * Math.log10(level || Number.MIN_VALUE));
  };
}

/**
 * On a scale that grows as the ear hears, between 0 and 1.
 * @param {number} decibels below full scale
 */
function audible(decibels) {
  return Math.max(0, Math.min(1, 1 - decibels / FLOOR_DB));
}
