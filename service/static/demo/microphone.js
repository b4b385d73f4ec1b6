// @ts-check
import { SAMPLE_RATE } from "./pcm.js";

/** The microphone as PCM16 at 24 kHz. */
export class Microphone {
  #stream;
  #context;

  /**
   * @param {MediaStream} stream
   * @param {AudioContext} context
   * @param {AnalyserNode} analyser
   */
  constructor(stream, context, analyser) {
    this.#stream = stream;
    this.#context = context;
    this.analyser = analyser;
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
    // At the device's own rate: not every browser connects a microphone to a context of another.
    const context = new AudioContext();
    await context.audioWorklet.addModule(new URL("./capture-worklet.js", import.meta.url));
    // Frequencies above half the target rate would come back as noise below it.
    const lowPass = new BiquadFilterNode(context, { type: "lowpass", frequency: SAMPLE_RATE * 0.42 });
    const analyser = new AnalyserNode(context, { fftSize: 1024 });
    const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0, channelCount: 1,
      channelCountMode: "explicit" });
    capture.port.onmessage = ({ data }) => onChunk(data);
    new MediaStreamAudioSourceNode(context, { mediaStream: stream }).connect(lowPass);
    lowPass.connect(analyser);
    lowPass.connect(capture);
    return new Microphone(stream, context, analyser);
  }

  close() {
    for (const track of this.#stream.getTracks()) track.stop();
    void this.#context.close();
  }
}
