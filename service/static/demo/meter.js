// @ts-check
const BARS = 40;
const SPOKEN_EVERY_MS = 500;
/** Quieter than this, in decibels below full scale, is an empty meter. */
const FLOOR_DB = -54;
const STEPS_PER_SECOND = 30;

/** A level meter: the last moments of a voice as a row of bars, newest at the right. */
export class Meter {
  #element;
  #canvas;
  #samples = new Float32Array(1024);
  /** @type {number[]} between 0 and 1 */
  #levels = Array(BARS).fill(0);
  /** @type {AnalyserNode | null} */
  #source = null;
  #steppedAt = 0;
  #spokenAt = 0;

  /** @param {HTMLElement} element has `role=meter` from 0 to 100, and holds a canvas */
  constructor(element) {
    this.#element = element;
    this.#canvas = /** @type {HTMLCanvasElement} */ (element.querySelector("canvas"));
    this.#draw();
    // The bars take their colour from the page, which may change it.
    new MutationObserver(() => this.#draw()).observe(document.documentElement, { attributes: true });
  }

  /** @param {AnalyserNode | null} analyser */
  set source(analyser) {
    const idle = this.#source === null;
    this.#source = analyser;
    if (idle && analyser) requestAnimationFrame(this.#frame);
  }

  #frame = (/** @type {number} */ now) => {
    if (!this.#source) this.#levels.fill(0);
    else if (now - this.#steppedAt >= 1000 / STEPS_PER_SECOND) {
      this.#levels = [...this.#levels.slice(1), level(this.#source, this.#samples)];
      this.#steppedAt = now;
    }
    this.#draw();
    if (!this.#source || now - this.#spokenAt >= SPOKEN_EVERY_MS) {
      this.#element.setAttribute("aria-valuenow", String(Math.round((this.#levels.at(-1) ?? 0) * 100)));
      this.#spokenAt = now;
    }
    if (this.#source) requestAnimationFrame(this.#frame);
  };

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

/**
 * Loudness on a scale that grows as the ear hears, between 0 and 1.
 * @param {AnalyserNode} analyser
 * @param {Float32Array<ArrayBuffer>} samples overwritten
 */
function level(analyser, samples) {
  analyser.getFloatTimeDomainData(samples);
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  const decibels = 10 * Math.log10(power || Number.MIN_VALUE);
  return Math.max(0, Math.min(1, 1 - decibels / FLOOR_DB));
}
