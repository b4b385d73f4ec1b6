// @ts-check
/**
 * PCM16, mono, little-endian, 24 kHz: the Realtime API's audio, as base64 in its events.
 * @module
 */

export const SAMPLE_RATE = 24_000;
export const BYTES_PER_SAMPLE = 2;

/** Characters for one call of `String.fromCharCode`, whose arguments live on the stack. */
const SLICE = 8192;

/** @param {ArrayBufferLike} buffer */
export function toBase64(buffer) {
  const bytes = new Uint8Array(buffer);
  let binary = "";
  for (let start = 0; start < bytes.length; start += SLICE) {
    binary += String.fromCharCode(...bytes.subarray(start, start + SLICE));
  }
  return btoa(binary);
}

/**
 * Samples between -1 and 1.
 * @param {string} base64
 */
export function toSamples(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const samples = new Float32Array(Math.floor(bytes.length / BYTES_PER_SAMPLE));
  return samples.map((_, index) => view.getInt16(index * BYTES_PER_SAMPLE, true) / 0x8000);
}

/** @param {string} base64 */
export function byteLength(base64) {
  const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
  return (base64.length / 4) * 3 - padding;
}

/**
 * A hum in syllables, loud enough for a voice detector, for those who have no microphone.
 * @param {number} seconds
 */
export function hum(seconds) {
  const samples = new Int16Array(seconds * SAMPLE_RATE);
  return samples.map((_, index) => {
    const time = index / SAMPLE_RATE;
    const syllable = Math.abs(Math.sin(Math.PI * 3 * time));
    const voice = [1, 2, 3, 4].reduce((sum, n) => sum + Math.sin(2 * Math.PI * 140 * n * time) / n, 0);
    return voice * syllable * 0x2000;
  });
}

/** @param {number} seconds */
export function silence(seconds) {
  return new Int16Array(seconds * SAMPLE_RATE);
}
