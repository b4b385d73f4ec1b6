import { mediaDevices, type MediaStream, RTCPeerConnection, RTCSessionDescription } from "react-native-webrtc";

export type ServerEvent = { type: string; [member: string]: unknown };

type DataChannel = ReturnType<RTCPeerConnection["createDataChannel"]>;
type Opened = { call: { id: string; expires_at: number; max_seconds: number }; sdp: string };
type Refusal = { error: { message: string; code: string | null; param: string | null } };
type Listeners = { onOpen: () => void; onEvent: (event: ServerEvent) => void; onEnd: () => void };

const CONNECT_MS = 10_000;

/**
 * A call by WebRTC that the token service opened and can end. The platform plays its sound and cancels the echo;
 * the microphone is asked for when the call starts.
 */
export class RealtimeCall {
  #service: string;
  #getJwt: () => Promise<string>;
  #listeners: Listeners;
  #peer: RTCPeerConnection | null = null;
  #channel: DataChannel | null = null;
  #microphone: MediaStream | null = null;
  #id: string | null = null;
  #stop = new AbortController();

  constructor(service: string, getJwt: () => Promise<string>, listeners: Listeners) {
    this.#service = service;
    this.#getJwt = getJwt;
    this.#listeners = listeners;
  }

  /**
   * Opens the call; `wish` holds members of `POST /calls`, such as `model`, `profile`, `session`, `max_seconds`.
   * Throws where that fails, but not where the call was ended meanwhile.
   */
  async start(wish: Record<string, unknown>): Promise<void> {
    try {
      await this.#connect(wish);
      this.#listeners.onOpen();
    } catch (error) {
      const ended = this.#stop.signal.aborted;
      await this.end(); // a call that cannot be connected counts, and costs, all the same
      if (!ended) throw error;
    }
  }

  async #connect(wish: Record<string, unknown>): Promise<void> {
    const microphone = (this.#microphone = await mediaDevices.getUserMedia({ audio: true }));
    this.#throwIfEnded();
    const peer = (this.#peer = new RTCPeerConnection({ iceServers: [] }));
    for (const track of microphone.getAudioTracks()) peer.addTrack(track, microphone);
    const channel = (this.#channel = peer.createDataChannel("oai-events"));
    channel.onmessage = ({ data }: { data: unknown }) => this.#listeners.onEvent(JSON.parse(String(data)));
    channel.onclose = () => void this.end(); // the service, or the vendor, ended it
    await peer.setLocalDescription(await peer.createOffer());
    this.#throwIfEnded();

    // Not aborted by `end`: an answer that nobody reads would leave a call behind.
    const answer = await this.#ask("POST", "/calls", { ...wish, sdp: peer.localDescription?.sdp });
    if (!answer.ok) {
      const { error } = (await answer.json()) as Refusal;
      throw new Error(`${error.message} (${error.code})`);
    }
    const { call, sdp } = (await answer.json()) as Opened;
    this.#id = call.id;
    this.#throwIfEnded();
    await peer.setRemoteDescription(new RTCSessionDescription({ type: "answer", sdp }));
    this.#throwIfEnded();
    await opened(channel, this.#stop.signal);
  }

  send(event: ServerEvent): void {
    this.#channel?.send(JSON.stringify(event));
  }

  /**
   * Ends the call, also while it is being connected; one that cannot be ended now ends at its deadline.
   * `start` calls it again for what it was given after the end: a microphone, or the answer of the service.
   */
  async end(): Promise<void> {
    const id = this.#id;
    const first = !this.#stop.signal.aborted;
    this.#id = null;
    this.#stop.abort();
    for (const track of this.#microphone?.getTracks() ?? []) track.stop();
    this.#peer?.close();
    if (id) await this.#ask("DELETE", `/calls/${id}`).catch(() => undefined);
    if (first) this.#listeners.onEnd();
  }

  #throwIfEnded(): void {
    if (this.#stop.signal.aborted) throw new Error("The call was ended.");
  }

  async #ask(method: string, path: string, body?: unknown): Promise<Response> {
    return fetch(this.#service + path, {
      method,
      headers: { Authorization: `Bearer ${await this.#getJwt()}`, "Content-Type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
    });
  }
}

function opened(channel: DataChannel, stop: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("The call did not connect.")), CONNECT_MS);
    stop.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new Error("The call was ended."));
    });
    channel.onopen = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}
