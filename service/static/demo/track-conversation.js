// @ts-check
import { RealtimeError } from "../realtime.js";
import { analyserLevel, receiverLevel } from "./meter.js";
import { userMessage } from "./sessions.js";

/** @typedef {import("../realtime.js").RealtimeEvent} RealtimeEvent */
/** @typedef {import("../realtime.js").CallOutcome} CallOutcome */
/** @typedef {import("./choices.js").Access} Access */
/** @typedef {import("./conversation.js").Listener} Listener */
/** @typedef {import("./meter.js").Meter} Meter */
/** @typedef {import("./sound.js").OutgoingSound} OutgoingSound */

/**
 * What carries the conversation: a call, or a session by a secret.
 * @typedef {EventTarget & { peer: RTCPeerConnection | null, send: (event: RealtimeEvent) => void, end: () => unknown,
 *   secondsLeft?: number }} Line
 */

/** One session over WebRTC: sound on tracks, events on a data channel. */
export class TrackConversation {
  #line;
  #sound;
  #live;
  #meters;
  #listener;
  #answering = false;
  #speaking = false;

  /** @type {"connecting" | "open" | "closed"} */
  state = "connecting";
  audioBytes = 0;

  /**
   * @param {Access} access
   * @param {Line} line
   * @param {OutgoingSound} sound
   * @param {{ input: Meter, output: Meter }} meters
   * @param {Listener} listener
   */
  constructor(access, line, sound, meters, listener) {
    this.#live = access === "live";
    this.#line = line;
    this.#sound = sound;
    this.#meters = meters;
    this.#listener = listener;
    line.addEventListener("open", () => this.#opened());
    line.addEventListener("message", (event) => this.#received(/** @type {MessageEvent} */ (event).data));
    line.addEventListener("close", (event) => this.#closed(/** @type {CustomEvent<CallOutcome>} */ (event).detail));
  }

  get listening() {
    return this.#sound.listening;
  }

  /** Whether text can be sent: GPT-Live is spoken with. */
  get writable() {
    return !this.#live;
  }

  /** Whether an answer can be stopped: a Live session decides by itself when to be silent. */
  get answering() {
    return !this.#live && (this.#answering || this.#speaking);
  }

  /** @param {string} text */
  say(text) {
    this.stop();
    this.#send(userMessage(text));
    this.#send({ type: "response.create" });
  }

  stop() {
    if (!this.answering) return;
    if (this.#answering) this.#send({ type: "response.cancel" });
    this.#send({ type: "output_audio_buffer.clear" });
    this.#answering = this.#speaking = false;
    this.#listener.changed();
  }

  /** @throws {DOMException} where there is no microphone, or none is allowed */
  async listen() {
    await this.#sound.listen();
    this.#listener.changed();
  }

  stopListening() {
    this.#sound.stopListening();
    this.#listener.changed();
  }

  sendSample() {
    this.#sound.speak();
  }

  close() {
    void this.#line.end();
  }

  #opened() {
    this.state = "open";
    const level = analyserLevel(this.#sound.analyser);
    this.#meters.input.source = () => (this.#sound.resting ? 0 : level());
    const receiver = this.#line.peer?.getReceivers()[0];
    this.#meters.output.source = receiver ? receiverLevel(receiver) : null;
    this.#listener.changed();
    this.listen().catch((error) => this.#listener.failed(error));
  }

  /** @param {CallOutcome} outcome */
  #closed(outcome) {
    this.state = "closed";
    this.#sound.close();
    this.#meters.input.source = this.#meters.output.source = null;
    this.#listener.changed();
    this.#listener.ended(outcome);
  }

  /** @param {RealtimeEvent} event */
  #received(event) {
    if (event.type === "response.created") this.#answering = true;
    if (event.type === "response.done") this.#answering = false;
    if (event.type === "output_audio_buffer.started") this.#speaking = true;
    if (["output_audio_buffer.stopped", "output_audio_buffer.cleared"].includes(event.type)) this.#speaking = false;
    this.#listener.event("received", event);
    if (event.type === "error") this.#listener.failed(new RealtimeError(event.error.message, event.error));
    this.#listener.changed();
  }

  /** @param {RealtimeEvent} event */
  #send(event) {
    if (this.state !== "open") return;
    try {
      this.#line.send(event);
    } catch {
      return; // the connection has ended, and why is being asked
    }
    this.#listener.event("sent", event);
  }
}
