// @ts-check
// Runs on the audio thread: from the microphone's own rate to PCM16 at 24 kHz, in chunks of 100 ms.

const TARGET_RATE = 24_000;
const CHUNK_SAMPLES = TARGET_RATE / 10;

class Capture extends AudioWorkletProcessor {
  #step = sampleRate / TARGET_RATE;
  /** Where the next sample is read, counted from this block's first; -1 is the block before's last. */
  #position = 0;
  #previous = 0;
  #chunk = new Int16Array(CHUNK_SAMPLES);
  #filled = 0;

  /**
   * @override
   * @param {Float32Array[][]} inputs
   */
  process(inputs) {
    const samples = inputs[0]?.[0];
    if (!samples) return true; // nothing is connected yet
    for (; this.#position < samples.length - 1; this.#position += this.#step) {
      const index = Math.floor(this.#position);
      const before = index < 0 ? this.#previous : samples[index];
      const after = samples[index + 1];
      this.#push(before + (after - before) * (this.#position - index));
    }
    this.#position -= samples.length;
    this.#previous = samples[samples.length - 1];
    return true;
  }

  /** @param {number} sample */
  #push(sample) {
    this.#chunk[this.#filled++] = Math.max(-1, Math.min(1, sample)) * 0x7fff;
    if (this.#filled < CHUNK_SAMPLES) return;
    this.port.postMessage(this.#chunk.buffer, [this.#chunk.buffer]);
    this.#chunk = new Int16Array(CHUNK_SAMPLES);
    this.#filled = 0;
  }
}

registerProcessor("capture", Capture);
