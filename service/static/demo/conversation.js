// @ts-check
import { RealtimeError, connect } from "../realtime.js";
import { Microphone } from "./microphone.js";
import { analyserLevel } from "./meter.js";
import { byteLength, hum } from "./pcm.js";
import { Player } from "./player.js";
import { appendAudio, endSpeech, truncate, userMessage } from "./sessions.js";

/** @typedef {import("../realtime.js").RealtimeEvent} RealtimeEvent */
/** @typedef {import("../realtime.js").TokenSource} TokenSource */
/** @typedef {import("./sessions.js").SessionType} SessionType */
/** @typedef {import("./meter.js").Meter} Meter */

/** Marks the request for an answer, so that an error can be told to be about it. */
const CREATE_ID = "page_asks_for_answer";

/**
 * What a conversation tells the page.
 * @typedef {object} Listener
 * @property {() => void} changed a getter's value has changed
 * @property {(direction: "sent" | "received", event: RealtimeEvent) => void} event
 * @property {(error: unknown) => void} failed the vendor or the browser complained; the session goes on
 * @property {(outcome: import("../realtime.js").CallOutcome) => void} ended once, and why
 */

/** One session over a WebSocket, with its microphone and its loudspeaker. */
export class SocketConversation {
  #session;
  #type;
  #meters;
  #listener;
  #player = new Player(() => this.#changed());
  /** @type {Microphone | null} */
  #microphone = null;
  /** Whether an answer is under way: the vendor makes one at a time. */
  #answering = false;
  /** @type {string | null} the code of the vendor's last error */
  #complaint = null;
  /** Whether another answer is due once this one is over. */
  #owesAnswer = false;

  /** @type {"connecting" | "open" | "closed"} */
  state = "connecting";
  audioBytes = 0;

  /**
   * @param {SessionType} type
   * @param {TokenSource} source
   * @param {{ input: Meter, output: Meter }} meters
   * @param {Listener} listener
   */
  constructor(type, source, meters, listener) {
    this.#type = type;
    this.#meters = meters;
    this.#listener = listener;
    this.#session = connect(source);
    this.#session.addEventListener("open", () => this.#opened());
    this.#session.addEventListener("message", (event) => {
      this.#received(/** @type {MessageEvent<RealtimeEvent>} */ (event).data);
    });
    this.#session.addEventListener("close", (event) => {
      this.#closed(/** @type {CustomEvent} */ (event).detail.error);
    });
  }

  /** Whether text can be sent. */
  get writable() {
    return this.#type === "realtime";
  }

  get listening() {
    return this.#microphone !== null;
  }

  /** Whether an answer is being made or heard, and can be stopped. */
  get answering() {
    return this.#answering || this.#player.playing;
  }

  /** @param {string} text */
  say(text) {
    this.stop();
    this.#send(userMessage(text));
    this.#owesAnswer = true;
    this.#answerIfDue();
  }

  /** Stops the answer, and the vendor's memory of it at what was heard. */
  stop() {
    if (this.#answering) this.#send({ type: "response.cancel" });
    this.#fallSilent();
    this.#changed();
  }

  /** @throws {DOMException} where there is no microphone, or none is allowed */
  async listen() {
    const microphone = await Microphone.open((pcm) => {
      if (this.listening) this.#send(appendAudio(this.#type, pcm));
    });
    if (this.state !== "open" || this.listening) return microphone.close();
    this.#microphone = microphone;
    this.#meters.input.source = analyserLevel(microphone.analyser);
    this.#changed();
  }

  stopListening() {
    if (!this.#microphone) return;
    this.#closeMicrophone();
    this.#send(endSpeech(this.#type));
    this.#changed();
  }

  /** Speaks a made-up phrase in the place of the microphone. */
  sendSample() {
    this.#send(appendAudio(this.#type, hum(2).buffer));
    this.#send(endSpeech(this.#type));
  }

  /** Ends the session here at once: its socket takes a moment to close, in which nothing can be sent any more. */
  close() {
    this.#session.close();
    this.#closed(null);
  }

  #opened() {
    this.state = "open";
    this.#meters.output.source = () => this.#player.level;
    this.#changed();
  }

  /** @param {unknown} error */
  #closed(error) {
    if (this.state === "closed") return;
    this.state = "closed";
    this.#closeMicrophone();
    this.#meters.output.source = null;
    this.#player.close();
    this.#changed();
    // What the vendor complained of before it closed the session has been told.
    const told = error instanceof RealtimeError && error.code === this.#complaint;
    this.#listener.ended({ error: told ? null : error, endedBy: told ? "vendor" : null, call: null });
  }

  #closeMicrophone() {
    this.#microphone?.close();
    this.#microphone = null;
    this.#meters.input.source = null;
  }

  /** @param {RealtimeEvent} event */
  #received(event) {
    this.#listener.event("received", event);
    switch (event.type) {
      case "response.output_audio.delta":
      case "session.output_audio.delta":
        this.#heard(event);
        break;
      case "input_audio_buffer.speech_started":
        this.#fallSilent(); // the server has cancelled its answer itself
        break;
      case "response.created":
        this.#answering = true;
        break;
      case "response.done":
        this.#answering = false;
        this.#answerIfDue();
        break;
      case "error":
        if (event.error.event_id === CREATE_ID) this.#answering = false;
        this.#complaint = event.error.code;
        this.#listener.failed(new RealtimeError(event.error.message, event.error));
        break;
    }
    this.#changed();
  }

  /** @param {RealtimeEvent} event */
  #heard({ delta, item_id: itemId = "", content_index: contentIndex = 0 }) {
    this.audioBytes += byteLength(delta);
    this.#player.play(delta, { itemId, contentIndex });
  }

  #fallSilent() {
    const heard = this.#player.stop();
    if (heard?.itemId) this.#send(truncate(heard));
  }

  #answerIfDue() {
    if (!this.#owesAnswer || this.#answering) return;
    this.#owesAnswer = false;
    this.#answering = true;
    this.#send({ type: "response.create", event_id: CREATE_ID });
  }

  /** @param {RealtimeEvent} event */
  #send(event) {
    if (this.state !== "open") return; // a last chunk of the microphone, after the session
    try {
      this.#session.send(event);
    } catch {
      return; // the other side is closing it, which is told when it has
    }
    this.#listener.event("sent", event);
  }

  #changed() {
    this.#listener.changed();
  }
}
