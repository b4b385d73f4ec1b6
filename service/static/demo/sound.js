// @ts-check
import { SAMPLE_RATE, hum } from "./pcm.js";

/** Silence that is still sent after the last sound, so that a voice detector hears the end of the turn. */
const CLOSING_SILENCE_MS = 2000;

/** What goes out over WebRTC: the microphone once it is there, or a made-up phrase; after that nothing, which is cheap. */
export class OutgoingSound {
  #context = new AudioContext({ sampleRate: 48_000 });
  #destination = new MediaStreamAudioDestinationNode(this.#context, { channelCount: 1 });
  /** @type {Promise<MediaStream> | null} one, however often it is asked for before the visitor has answered */
  #microphone = null;
  /** @type {MediaStreamAudioSourceNode | null} */
  #source = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #resting;

  analyser = new AnalyserNode(this.#context, { fftSize: 1024 });

  constructor() {
    this.analyser.connect(this.#destination);
  }

  get stream() {
    return this.#destination.stream;
  }

  get listening() {
    return this.#source !== null;
  }

  /** @throws {DOMException} where there is no microphone, or none is allowed */
  async listen() {
    const asked = (this.#microphone ??= navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    }));
    try {
      const mediaStream = await asked;
      if (this.#microphone !== asked) return; // it was given back meanwhile
      this.#source ??= new MediaStreamAudioSourceNode(this.#context, { mediaStream });
    } catch (error) {
      if (this.#microphone === asked) this.#release();
      throw error;
    }
    this.#source.connect(this.analyser);
    this.#wake();
  }

  /** Stops listening; the device is given back, so that no light stays on. */
  stopListening() {
    this.#source?.disconnect();
    this.#source = null;
    this.#release();
    this.#rest();
  }

  /** Speaks a made-up phrase. */
  speak(seconds = 2) {
    const samples = Float32Array.from(hum(seconds), (sample) => sample / 0x8000);
    const buffer = new AudioBuffer({ length: samples.length, sampleRate: SAMPLE_RATE });
    buffer.copyToChannel(samples, 0);
    const source = new AudioBufferSourceNode(this.#context, { buffer });
    source.connect(this.analyser);
    source.onended = () => this.#rest();
    this.#wake();
    source.start();
  }

  close() {
    this.stopListening();
    clearTimeout(this.#resting);
    void this.#context.close();
  }

  #wake() {
    clearTimeout(this.#resting);
    this.#context.resume().catch(() => {}); // it is closed before that succeeds
  }

  #rest() {
    clearTimeout(this.#resting);
    if (this.listening) return;
    // It rejects where the context has been closed, as after a phrase that the session did not outlast.
    this.#resting = setTimeout(() => this.#context.suspend().catch(() => {}), CLOSING_SILENCE_MS);
  }

  /** Whether anything is to be heard. */
  get resting() {
    return this.#context.state !== "running";
  }

  #release() {
    const stop = (/** @type {MediaStream} */ stream) => stream.getTracks().forEach((track) => track.stop());
    this.#microphone?.then(stop, () => {}); // also one that is not there yet
    this.#microphone = null;
  }
}
