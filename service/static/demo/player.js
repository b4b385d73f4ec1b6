// @ts-check
import { analyserLevel } from "./meter.js";
import { SAMPLE_RATE, toSamples } from "./pcm.js";

/** How far ahead of the clock a first chunk is scheduled, so that a late second one leaves no gap. */
const LEAD_SECONDS = 0.08;

/** @typedef {{ itemId: string, contentIndex: number }} AudioPart */

/** Plays audio that arrives in chunks, and faster than it sounds, without a seam. */
export class Player {
  // At the audio's own rate, so that the browser resamples the stream and not each chunk with its edges.
  #context = new AudioContext({ sampleRate: SAMPLE_RATE });
  #end = 0;
  /** @type {Set<AudioBufferSourceNode>} */
  #sources = new Set();
  /** @type {(AudioPart & { seconds: number }) | null} */
  #current = null;

  analyser = new AnalyserNode(this.#context, { fftSize: 1024 });

  #level = analyserLevel(this.analyser);
  #onIdle;

  /** @param {() => void} onIdle called when all that came has been heard */
  constructor(onIdle) {
    this.#onIdle = onIdle;
    this.analyser.connect(this.#context.destination);
    this.#suspend();
  }

  /** The loudness of what is heard now, between 0 and 1. */
  get level() {
    return this.playing ? this.#level() : 0;
  }

  /**
   * @param {string} base64
   * @param {AudioPart} part the answer that the chunk belongs to
   */
  play(base64, part) {
    const samples = toSamples(base64);
    if (!samples.length) return;
    const buffer = new AudioBuffer({ length: samples.length, sampleRate: SAMPLE_RATE });
    buffer.copyToChannel(samples, 0);
    const source = new AudioBufferSourceNode(this.#context, { buffer });
    source.connect(this.analyser);
    source.onended = () => {
      this.#sources.delete(source);
      if (!this.#sources.size) this.#rest();
    };
    this.#context.resume().catch(() => {}); // it is closed before that succeeds
    this.#sources.add(source);
    const { currentTime } = this.#context;
    const start = this.#end > currentTime ? this.#end : currentTime + LEAD_SECONDS;
    source.start(start);
    this.#end = start + buffer.duration;
    if (this.#current?.itemId !== part.itemId) this.#current = { ...part, seconds: 0 };
    this.#current.seconds += buffer.duration;
  }

  get playing() {
    return this.#sources.size > 0;
  }

  /**
   * Falls silent.
   * @returns {(AudioPart & { playedMs: number }) | null} the answer that was cut off, and how much of it was heard
   */
  stop() {
    const unheard = this.#end - this.#context.currentTime;
    for (const source of this.#sources) source.stop();
    this.#sources.clear();
    this.#end = 0;
    this.#suspend();
    if (!this.#current || unheard <= 0) return null;
    const { itemId, contentIndex, seconds } = this.#current;
    return { itemId, contentIndex, playedMs: Math.max(0, Math.floor((seconds - unheard) * 1000)) };
  }

  close() {
    this.stop();
    void this.#context.close();
  }

  #rest() {
    this.#suspend();
    this.#onIdle();
  }

  /** A context that runs costs, although it plays nothing. */
  #suspend() {
    this.#context.suspend().catch(() => {}); // it has been closed, which is as good
  }
}
