// @ts-check
import { RealtimeError, connectWebRTC } from "../realtime.js";

/** @typedef {import("../realtime.js").TokenSource} TokenSource */

const CONNECT_MS = 10_000;

/**
 * A session over WebRTC by a secret, with the events that a call of `startCall` has: `open`, `track`, `close`, and
 * every server event as `message`. Nobody but this page can end it.
 */
export class SecretLine extends EventTarget {
  #peer = new RTCPeerConnection();
  #channel = this.#peer.createDataChannel("oai-events");
  #player = new Audio();
  #over = false;
  #stop = new AbortController();

  /**
   * @param {TokenSource} source
   * @param {MediaStream} microphone
   */
  constructor(source, microphone) {
    super();
    const [track] = microphone.getAudioTracks();
    this.#peer.addTrack(track, microphone);
    this.#peer.addEventListener("track", ({ streams: [stream] }) => {
      this.#player.srcObject = stream;
      void this.#player.play().catch(() => {});
    });
    this.#peer.addEventListener("connectionstatechange", () => {
      if (this.#peer.connectionState === "failed") this.#lost();
    });
    this.#channel.addEventListener("open", () => this.dispatchEvent(new CustomEvent("open")));
    this.#channel.addEventListener("message", ({ data }) => {
      this.dispatchEvent(new MessageEvent("message", { data: JSON.parse(data) }));
    });
    this.#channel.addEventListener("close", () => this.#lost());
    void this.#run(source);
  }

  get peer() {
    return this.#peer;
  }

  /** @param {import("../realtime.js").RealtimeEvent} event */
  send(event) {
    this.#channel.send(JSON.stringify(event));
  }

  end() {
    this.#stop.abort();
    this.#finish(null);
  }

  /** @param {TokenSource} source */
  async #run(source) {
    try {
      await connectWebRTC(this.#peer, source, { signal: this.#stop.signal });
    } catch (error) {
      return this.#finish(error);
    }
    setTimeout(() => {
      if (this.#channel.readyState === "connecting") this.#lost();
    }, CONNECT_MS);
  }

  #lost() {
    this.#finish(new RealtimeError("The connection was lost.", { code: "connection_lost" }));
  }

  /** @param {unknown} error */
  #finish(error) {
    if (this.#over) return;
    this.#over = true;
    this.#player.srcObject = null;
    this.#peer.close();
    this.dispatchEvent(new CustomEvent("close", { detail: { error, endedBy: null, call: null } }));
  }
}
