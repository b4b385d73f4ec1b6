// @ts-check
import { SAMPLE_RATE } from "./pcm.js";

/** The microphone as PCM16 at 24 kHz. */
export class Microphone {
  #stream;
  // At the device's own rate: not every browser connects a microphone to a context of another.
  #context = new AudioContext();

  analyser = new AnalyserNode(this.#context, { fftSize: 1024 });

  /** @param {MediaStream} stream */
  constructor(stream) {
    this.#stream = stream;
  }

  /**
   * Asks for the microphone.
   * @param {(pcm: ArrayBuffer) => void} onChunk called with every 100 ms of audio
   * @throws {DOMException} `NotAllowedError`, `NotFoundError` …
   */
  static async open(onChunk) {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    const microphone = new Microphone(stream);
    try {
      await microphone.#capture(onChunk);
    } catch (error) {
      microphone.close(); // nobody else knows of it, and the browser would go on showing that it is on
      throw error;
    }
    return microphone;
  }

  /** @param {(pcm: ArrayBuffer) => void} onChunk */
  async #capture(onChunk) {
    const context = this.#context;
    await context.audioWorklet.addModule(new URL("./capture-worklet.js", import.meta.url));
    // Frequencies above half the target rate would come back as noise below it.
    const lowPass = new BiquadFilterNode(context, { type: "lowpass", frequency: SAMPLE_RATE * 0.42 });
    const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0, channelCount: 1,
      channelCountMode: "explicit" });
    capture.port.onmessage = ({ data }) => onChunk(data);
    new MediaStreamAudioSourceNode(context, { mediaStream: this.#stream }).connect(lowPass);
    lowPass.connect(this.analyser);
    lowPass.connect(capture);
  }

  close() {
    for (const track of this.#stream.getTracks()) track.stop();
    void this.#context.close();
  }
}
