// @ts-check
/**
 * Realtime sessions from a browser, by a secret or a call of the token service, with no dependency.
 * Version 2.0.0. `realtime.d.ts` beside this file has the types; a bundler takes a copy of the two.
 *
 *     import { connect, requestToken, startCall } from "/static/realtime.js";
 *
 *     const session = connect((options) => requestToken("/token", jwt, options)); // WebSocket, text and audio chunks
 *     await session.ready;
 *     session.send({ type: "response.create" });
 *     for await (const event of session) console.log(event.type);
 *
 *     const call = startCall("/calls", jwt, { model: "gpt-live-1.1" }); // WebRTC, microphone in, sound out
 *     call.addEventListener("time", ({ detail }) => console.log(`${detail} s left`));
 *     await call.ready;
 *     await call.end();
 *
 * A secret opens one session, so `connect` asks its token source for a new one at every attempt.
 * All durations are seconds. Runs in browsers of 2024 and later; all but WebRTC also in Node 22.
 *
 * @module
 */

export const version = "2.0.0";

/** Where and how to open the session a secret was minted for.
 * @typedef {{ url: string, protocols: string[], calls_url?: string }} Connection */

/** The token service's answer: `value` is the secret, `expires_at` its end in Unix seconds.
 * @typedef {{ value: string, expires_at: number, session: Record<string, any>, connection: Connection }} Token */

/** A token that will be used once, or what mints one for every attempt.
 * @typedef {Token | ((options: { signal: AbortSignal }) => Token | Promise<Token>)} TokenSource */

/** A client or server event, as the vendor's API reference defines them.
 * @typedef {{ type: string, [member: string]: any }} RealtimeEvent */

/** @typedef {typeof globalThis.fetch} Fetch */
/** @typedef {{ message?: string, code?: string | null, param?: string | null }} ErrorBody */

const ALREADY_USED = "ephemeral_token_already_used";
/** Close codes from here on are the application's: a decision, which a new attempt would only meet again. */
const FIRST_APPLICATION_CLOSE_CODE = 3000;
/** Statuses that may pass: no answer, limits, faults of the service, and a CDN's own 520 to 530. */
const PASSING_STATUSES = new Set([0, 429, 500, 502, 503, 504, ...Array.from({ length: 11 }, (_, index) => 520 + index)]);
/** What only an admin can repair. */
const LASTING_CODES = new Set(["upstream_rejected_credentials", "upstream_quota_exhausted"]);

/** The token service refused, failed or could not be reached. */
export class TokenError extends Error {
  /** @override */
  name = "TokenError";

  /**
   * @param {string} message
   * @param {{ status: number, code: string, param?: string | null, retryAfter?: number | null,
   *           requestId?: string | null, final?: boolean, cause?: unknown }} details
   *   `status` is 0 and `code` is `unreachable` where no answer came; `retryAfter` is in seconds; `final` where
   *   the service said `x-should-retry: false`.
   */
  constructor(message, { status, code, param = null, retryAfter = null, requestId = null, final = false, cause }) {
    super(message, { cause });
    this.status = status;
    this.code = code;
    this.param = param;
    this.retryAfter = retryAfter;
    this.requestId = requestId;
    this.final = final;
  }

  /** Whether the same request may succeed later. */
  get transient() {
    return PASSING_STATUSES.has(this.status) && !this.final && !LASTING_CODES.has(this.code);
  }
}

/** The vendor refused a secret, or a session was lost. */
export class RealtimeError extends Error {
  /** @override */
  name = "RealtimeError";

  /**
   * @param {string} message
   * @param {{ code: string, param?: string | null, closeCode?: number | null, expired?: boolean }} details
   *   `code` is the vendor's, or `connection_lost` where none was given. `expired` tells that the secret's
   *   time had passed, which the vendor's `invalid_api_key`, or a 401 that browsers hide, does not.
   */
  constructor(message, { code, param = null, closeCode = null, expired = false }) {
    super(message);
    this.code = code;
    this.param = param;
    this.closeCode = closeCode;
    this.expired = expired;
  }

  /** Whether a new session may succeed where this one failed. */
  get transient() {
    return this.closeCode !== null && this.closeCode < FIRST_APPLICATION_CLOSE_CODE;
  }
}

/**
 * The WebSocket subprotocols that carry a secret where headers cannot be set.
 *
 * @param {string} secret
 * @param {{ organization?: string | null, project?: string | null, beta?: boolean }} [options]
 * @returns {string[]}
 */
export function subprotocols(secret, { organization = null, project = null, beta = false } = {}) {
  return [
    "realtime",
    `openai-insecure-api-key.${secret}`,
    ...(organization ? [`openai-organization.${organization}`] : []),
    ...(project ? [`openai-project.${project}`] : []),
    ...(beta ? ["openai-beta.realtime-v1"] : []),
  ];
}

/**
 * Mints one secret at the token service.
 *
 * @param {string | URL} tokenUrl
 * @param {string} jwt the user's own token, from your identity provider
 * @param {{ model?: string | null, session?: Record<string, any> | null, expiresIn?: number | null,
 *           profile?: string | null, timeout?: number, signal?: AbortSignal, fetch?: Fetch }} [options]
 *   `expiresIn` is the secret's life; `timeout` bounds the whole call; `fetch` is used in the place of the global one.
 * @returns {Promise<Token>}
 * @throws {TokenError}
 */
export async function requestToken(tokenUrl, jwt, options = {}) {
  const { model, session, expiresIn, profile, timeout = 30, signal, fetch } = options;
  const body = {
    ...(model != null ? { model } : {}),
    ...(session != null ? { session } : {}),
    ...(expiresIn != null ? { expires_after: { anchor: "created_at", seconds: expiresIn } } : {}),
    ...(profile != null ? { profile } : {}),
  };
  return ask(tokenUrl, jwt, { method: "POST", body, timeout, signal, fetch });
}

/**
 * Asks the token service, and returns its JSON; null where it answers without a body.
 *
 * @param {string | URL} url
 * @param {string} jwt
 * @param {{ method: string, body?: Record<string, any>, timeout?: number, signal?: AbortSignal, keepalive?: boolean,
 *           fetch?: Fetch }} options
 * @returns {Promise<any>}
 * @throws {TokenError}
 */
async function ask(url, jwt, { method, body, timeout = 30, signal, keepalive = false, fetch = globalThis.fetch }) {
  const deadline = AbortSignal.timeout(timeout * 1000);
  try {
    const response = await fetch(url, {
      method,
      headers: { Authorization: `Bearer ${jwt}`, ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : null,
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
      keepalive,
    });
    if (!response.ok) throw await refusal(response);
    return response.status === 204 ? null : await response.json();
  } catch (cause) {
    if (cause instanceof TokenError || signal?.aborted) throw cause;
    throw new TokenError("The token service did not answer.", { status: 0, code: "unreachable", cause });
  }
}

/** @param {Response} response */
async function refusal(response) {
  const { message, code, param } = await errorBody(response);
  return new TokenError(message ?? `The token service answered ${response.status}.`, {
    status: response.status,
    code: code ?? "unexpected_answer",
    param,
    retryAfter: Number(response.headers.get("Retry-After")) || null,
    requestId: response.headers.get("X-Request-Id"),
    final: response.headers.get("x-should-retry") === "false",
  });
}

/**
 * The `error` member of an answer; empty where a proxy's HTML came instead.
 * @param {Response} response
 * @returns {Promise<ErrorBody>}
 */
async function errorBody(response) {
  const body = await response.json().catch(() => null);
  return body?.error ?? {};
}

/**
 * Opens a Realtime session over a WebSocket.
 *
 * Returns at once, so that no event is missed; `ready` resolves when the vendor has accepted the secret.
 *
 * @param {TokenSource} source
 * @param {ConnectOptions} [options]
 */
export function connect(source, options = {}) {
  return new RealtimeConnection(source, options);
}

/**
 * @typedef {object} ConnectOptions
 * @property {boolean | RetryLimits} [reconnect] open a new session when one is lost or the service is busy
 *   (by default 8 times in a row, after a random delay that doubles up to 30 s, or the service's `Retry-After`; after a
 *   session that was open for longer than the longest delay they are counted anew). A new session starts with an empty
 *   conversation: what it needs to know is sent again on `open`. Needs a source that mints.
 * @property {number} [timeout] how long the vendor may take to accept the secret (20)
 */

/**
 * A session's events, in the two ways that sessions and calls share: as an event target and as an async iterable.
 * @template Opened what `ready` resolves with
 */
class EventStream extends EventTarget {
  /** @type {PromiseWithResolvers<Opened>} */
  #ready = Promise.withResolvers();
  /** @type {{ error: unknown } | null} */
  #outcome = null;

  constructor() {
    super();
    // A caller that only listens for `close` is told there; the promise must not report it as unhandled.
    this.#ready.promise.catch(() => {});
  }

  /**
   * As every event target's, but without a type for each event: TypeScript cannot know the vendor's.
   *
   * @override
   * @param {string} type
   * @param {((event: any) => void) | EventListenerObject | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   */
  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
  }

  /** Resolves when the first session has begun; rejects where none could be opened. */
  get ready() {
    return this.#ready.promise;
  }

  /**
   * The server events from now on; ends with the session, and throws what it was lost by.
   * @returns {AsyncGenerator<RealtimeEvent, void, void>}
   */
  async *[Symbol.asyncIterator]() {
    /** @type {RealtimeEvent[]} */
    const events = [];
    let wake = () => {};
    const stop = new AbortController();
    const listen = { signal: stop.signal };
    this.addEventListener("message", (event) => {
      events.push(/** @type {MessageEvent} */ (event).data);
      wake();
    }, listen);
    this.addEventListener("close", () => wake(), listen);
    try {
      while (events.length || !this.#outcome) {
        const event = events.shift();
        if (event) yield event;
        else await new Promise((resolve) => (wake = () => resolve(undefined)));
      }
      if (this.#outcome?.error) throw this.#outcome.error;
    } finally {
      stop.abort();
    }
  }

  /**
   * @protected
   * @param {Opened} opened
   */
  _open(opened) {
    this.#ready.resolve(opened);
    this._notify("open", opened);
  }

  /**
   * @protected
   * @param {RealtimeEvent} event
   */
  _receive(event) {
    this.dispatchEvent(new MessageEvent("message", { data: event }));
    this.dispatchEvent(new MessageEvent(event.type, { data: event }));
  }

  /**
   * @protected
   * @param {{ error: unknown }} outcome
   */
  _finish(outcome) {
    this.#outcome = outcome;
    this.#ready.reject(outcome.error ?? new DOMException("The session was closed before it opened.", "AbortError"));
    this._notify("close", outcome);
  }

  /**
   * @protected
   * @param {string} type
   * @param {unknown} detail
   */
  _notify(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/**
 * Seconds to wait before another attempt: random, so that clients cut off together do not come back together.
 *
 * @param {Required<RetryLimits>} limits
 * @param {number} failures in a row so far
 * @param {unknown} error
 */
function backoff({ minDelay, maxDelay }, failures, error) {
  const ceiling = Math.min(maxDelay, minDelay * 2 ** failures);
  const asked = error instanceof TokenError ? (error.retryAfter ?? 0) : 0;
  return asked + ceiling * (0.5 + Math.random() / 2);
}

/** How often, and after how many seconds, a new session is opened.
 * @typedef {{ attempts?: number, minDelay?: number, maxDelay?: number }} RetryLimits */

/** @param {boolean | RetryLimits} reconnect */
function retryLimits(reconnect) {
  const limits = { attempts: 8, minDelay: 0.5, maxDelay: 30, ...(typeof reconnect === "object" ? reconnect : {}) };
  return reconnect ? limits : { ...limits, attempts: 0 };
}

/**
 * A Realtime session as an event target. Every server event is dispatched as a `MessageEvent`, once as
 * `message` and once under its own type (`response.done`, `error`, …), with the event as `data`. Beside them,
 * each a `CustomEvent`: `token` (a secret was minted; `detail` is the `Token`), `open` (a session began),
 * `retry` (`detail` is `{ error, delay }`) and finally `close` (`detail` is `{ error }`, null if on purpose).
 *
 * @extends {EventStream<RealtimeEvent>}
 */
export class RealtimeConnection extends EventStream {
  #stop = new AbortController();
  /** @type {WebSocket | null} */
  #socket = null;
  /** How long the last attempt's session was open, in milliseconds; 0 where none was. */
  #held = 0;
  #source;
  #reconnect;
  #timeout;

  /**
   * @param {TokenSource} source
   * @param {ConnectOptions} options
   */
  constructor(source, { reconnect = false, timeout = 20 }) {
    super();
    this.#source = source;
    this.#reconnect = retryLimits(typeof source === "function" && reconnect);
    this.#timeout = timeout;
    void this.#run();
  }

  /**
   * @param {RealtimeEvent} event
   * @throws {DOMException} `InvalidStateError` while no session is open
   */
  send(event) {
    // A browser drops what is sent while its socket closes, and throws nothing.
    if (this.#socket?.readyState !== WebSocket.OPEN) {
      throw new DOMException("No Realtime session is open.", "InvalidStateError");
    }
    this.#socket.send(JSON.stringify(event));
  }

  /** Ends the session, and any attempt at one. */
  close() {
    this.#stop.abort();
  }

  async #run() {
    for (let failures = 0; ; ) {
      this.#held = 0;
      const error = await this.#attempt();
      // A session that held for a while was a success: the next trouble is a new one.
      if (this.#held > this.#reconnect.maxDelay * 1000) failures = 0;
      if (!error?.transient || failures >= this.#reconnect.attempts) return this._finish({ error });
      const delay = backoff(this.#reconnect, failures++, error);
      this._notify("retry", { error, delay });
      await pause(delay, this.#stop.signal);
    }
  }

  /**
   * One session from mint to end.
   * @returns {Promise<any>} what it failed by; null where it was ended on purpose
   */
  async #attempt() {
    const { signal } = this.#stop;
    try {
      signal.throwIfAborted();
      await withSecret(this.#source, signal, (token) => this.#converse(token), (error) =>
        this._notify("retry", { error, delay: 0 }));
      return null;
    } catch (error) {
      return signal.aborted ? null : error;
    }
  }

  /**
   * Resolves when the session was ended on purpose; rejects when it was refused or lost.
   * @param {Token} token
   */
  async #converse(token) {
    this._notify("token", token);
    const socket = new WebSocket(token.connection.url, token.connection.protocols);
    const { promise, resolve, reject } = /** @type {PromiseWithResolvers<void>} */ (Promise.withResolvers());
    const overdue = setTimeout(() => socket.close(), this.#timeout * 1000);
    const hangUp = () => socket.close(1000);
    this.#stop.signal.addEventListener("abort", hangUp);
    /** @type {ErrorBody | null} the error that nothing has followed yet, so that a close belongs to it */
    let complaint = null;
    let opened = 0;
    socket.addEventListener("message", ({ data }) => {
      const event = JSON.parse(data);
      complaint = event.type === "error" ? event.error : null;
      if (!this.#socket) {
        if (complaint) return; // the refusal of a secret: the close that follows reports it
        clearTimeout(overdue);
        this.#socket = socket;
        opened = performance.now();
        this._open(event);
      }
      this._receive(event);
    });
    socket.addEventListener("close", (closed) => {
      clearTimeout(overdue);
      this.#stop.signal.removeEventListener("abort", hangUp);
      const orderly = this.#socket !== null && !complaint && [1000, 1005].includes(closed.code);
      if (this.#socket) this.#held = performance.now() - opened;
      this.#socket = null;
      if (orderly || this.#stop.signal.aborted) resolve();
      else reject(lost(closed, complaint, token));
    });
    return promise;
  }
}

/**
 * @param {CloseEvent} closed
 * @param {ErrorBody | null} complaint
 * @param {Token} token
 */
function lost({ code: closeCode, reason }, complaint, token) {
  // The vendor's close reason is `<error type>.<code>`, for those who missed the event before it.
  const code = complaint?.code ?? (reason.split(".").at(-1) || "connection_lost");
  const message = complaint?.message ?? (reason || `The connection failed (close code ${closeCode}).`);
  return new RealtimeError(message, { code, param: complaint?.param, closeCode, expired: hasExpired(token) });
}

/** @param {Token} token */
function hasExpired(token) {
  return Date.now() >= token.expires_at * 1000;
}

/**
 * Uses a secret, and once more a fresh one where the first had been spent.
 *
 * @template T
 * @param {TokenSource} source
 * @param {AbortSignal} signal
 * @param {(token: Token) => Promise<T>} use
 * @param {(error: RealtimeError) => void} [onRetry]
 * @returns {Promise<T>}
 */
async function withSecret(source, signal, use, onRetry = () => {}) {
  if (typeof source !== "function") return use(source);
  const attempt = async () => {
    const token = await source({ signal });
    signal.throwIfAborted();
    return use(token);
  };
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof RealtimeError) || error.code !== ALREADY_USED) throw error;
    onRetry(error);
    return attempt();
  }
}

/**
 * @param {number} seconds
 * @param {AbortSignal} signal ends the pause early
 */
function pause(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve(undefined)), { once: true });
  });
}

/**
 * Opens a Realtime session over WebRTC: offers what `peer` holds, and sets the vendor's answer on it.
 * Add the microphone's track, and create the `oai-events` data channel that carries the events, before.
 *
 * @param {RTCPeerConnection} peer
 * @param {TokenSource} source
 * @param {{ signal?: AbortSignal }} [options]
 * @returns {Promise<{ token: Token, location: string | null }>} `location` names the call, where the
 *   answer's header may be read
 * @throws {TokenError | RealtimeError}
 */
export async function connectWebRTC(peer, source, { signal = new AbortController().signal } = {}) {
  const offer = await peer.createOffer();
  await peer.setLocalDescription(offer);
  const { token, response } = await withSecret(source, signal, async (token) => ({
    token,
    response: await postOffer(token, offer.sdp ?? "", signal),
  }));
  await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
  return { token, location: response.headers.get("Location") };
}

/**
 * @param {Token} token
 * @param {string} sdp
 * @param {AbortSignal} signal
 */
async function postOffer(token, sdp, signal) {
  const { calls_url } = token.connection;
  if (!calls_url) throw new RealtimeError("This vendor has no WebRTC; use connect().", { code: "no_webrtc" });
  const response = await fetch(calls_url, {
    method: "POST",
    headers: { Authorization: `Bearer ${token.value}`, "Content-Type": "application/sdp" },
    body: sdp,
    signal,
  });
  if (response.ok) return response;
  const { message, code, param } = await errorBody(response);
  throw new RealtimeError(message ?? `The vendor answered ${response.status}.`, {
    code: code ?? "unexpected_answer",
    param,
    expired: hasExpired(token),
  });
}

/** A call as the token service tells it; times are Unix seconds. `ended_by` is `client`, `deadline`, `replaced`,
 * `revoked`, `admin`, `vendor`, `shutdown` or `unknown`.
 * @typedef {{ id: string, type: string, model: string, state: "open" | "ending" | "ended", opened_at: number,
 *             expires_at: number, max_seconds: number, ended_at?: number, seconds?: number, ended_by?: string }} Call */

/** The user's own token, or what gives one for every request: a call may outlast a JWT.
 * @typedef {string | (() => string | Promise<string>)} JwtSource */

/** How a call ended: `endedBy` as in `Call`, or null where it never began or nobody knows; `error` is null where the
 * user ended it or its end was decided at the service.
 * @typedef {{ error: unknown, endedBy: string | null, call: Call | null }} CallOutcome */

/**
 * @typedef {object} CallOptions
 * @property {string | null} [model]
 * @property {Record<string, any> | null} [session] in the vendor's shape; `type` is `realtime` or `live`
 * @property {string | null} [profile]
 * @property {number | null} [maxSeconds] how long the call may last at most; the service may allow less
 * @property {boolean | MediaStream} [microphone] whether to ask for the microphone (true), or what is sent instead
 * @property {boolean | HTMLAudioElement} [audio] whether, or where, the answer is played (true)
 * @property {boolean | RetryLimits} [reconnect] open a new call where the connection failed. Never after an end that
 *   was decided (`replaced`, `revoked`, `admin`, `deadline` …), nor where the service refused. A new call starts with
 *   an empty conversation.
 * @property {number} [timeout] how long the service may take to open the call (30)
 * @property {Fetch} [fetch] used in the place of the global one
 */

/** A connection that is not made by then is given up, and its call ended, to avoid paying for it. */
const CONNECT_SECONDS = 10;
/** How long a call's end may take to be known at the service, and at the client after its deadline. */
const ENDING_SECONDS = 6;

/** How long the vendor may take to close a call that was ended here. */
const CLOSING_SECONDS = 3;

/**
 * Opens a call: a session over WebRTC that the token service opens, limits, and can end.
 *
 * Returns at once; `ready` resolves when sound and events flow. The call ends with the page.
 *
 * @param {string | URL} callsUrl the service's `/calls`
 * @param {JwtSource} jwt
 * @param {CallOptions} [options]
 */
export function startCall(callsUrl, jwt, options = {}) {
  return new RealtimeCall(callsUrl, jwt, options);
}

/**
 * A call as an event target. Server events are dispatched as a `RealtimeConnection` does. Beside them, each a
 * `CustomEvent`: `call` (the service opened it; `detail` is the `Call`), `open` (connected; the same), `track` (the
 * answer's sound; `detail` is a `MediaStream`), `time` (every second; `detail` is `secondsLeft`), `retry` (`detail` is
 * `{ error, delay }`) and finally `close` (`detail` is a `CallOutcome`).
 *
 * @extends {EventStream<Call>}
 */
export class RealtimeCall extends EventStream {
  #stop = new AbortController();
  /** @type {PromiseWithResolvers<CallOutcome>} */
  #ended = Promise.withResolvers();
  #callsUrl;
  #jwt;
  /** The JWT that was used last: a page that is being left cannot wait for another. */
  #bearer = "";
  #options;
  #reconnect;
  /** @type {RTCDataChannel | null} */
  #channel = null;
  /** How long the last attempt's connection was open, in milliseconds; 0 where none was. */
  #held = 0;
  #muted = false;
  #endsAt = 0;

  /** @type {Call | null} the call as the service last told it */
  call = null;
  /** @type {RTCPeerConnection | null} */
  peer = null;
  /** @type {MediaStream | null} what is sent */
  microphone = null;

  /**
   * @param {string | URL} callsUrl
   * @param {JwtSource} jwt
   * @param {CallOptions} options
   */
  constructor(callsUrl, jwt, options) {
    super();
    this.#callsUrl = String(callsUrl).replace(/\/$/, "");
    this.#jwt = jwt;
    this.#options = options;
    this.#reconnect = retryLimits(options.reconnect ?? false);
    void this.#run();
  }

  /** Seconds until the service ends the call; by this machine's clock, but not by its time of day. */
  get secondsLeft() {
    return this.call ? Math.max(0, Math.ceil((this.#endsAt - Date.now()) / 1000)) : 0;
  }

  /** Whether silence is sent. */
  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    for (const track of this.microphone?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  /**
   * @param {RealtimeEvent} event
   * @throws {DOMException} `InvalidStateError` while no call is connected
   */
  send(event) {
    if (!this.#channel) throw new DOMException("No call is connected.", "InvalidStateError");
    this.#channel.send(JSON.stringify(event));
  }

  /**
   * Ends the call, and any attempt at one. Never rejects: a call that cannot be ended now ends at its deadline.
   * @returns {Promise<CallOutcome>}
   */
  end() {
    this.#stop.abort();
    return this.#ended.promise;
  }

  async #run() {
    const leave = () => void this.#leave();
    globalThis.addEventListener?.("pagehide", leave);
    try {
      this._finish(await this.#attempts());
    } finally {
      globalThis.removeEventListener?.("pagehide", leave);
    }
  }

  /**
   * @override
   * @protected
   * @param {CallOutcome} outcome
   */
  _finish(outcome) {
    if (this.microphone !== this.#options.microphone) stopTracks(this.microphone);
    this.#ended.resolve(outcome);
    super._finish(outcome);
  }

  async #attempts() {
    for (let failures = 0; ; ) {
      this.#held = 0;
      this.call = null;
      const outcome = await this.#attempt();
      if (this.#held > this.#reconnect.maxDelay * 1000) failures = 0;
      if (!(outcome.error instanceof ConnectionFailed) || failures >= this.#reconnect.attempts) return outcome;
      const delay = backoff(this.#reconnect, failures++, outcome.error);
      this._notify("retry", { error: outcome.error, delay });
      await pause(delay, this.#stop.signal);
    }
  }

  /**
   * One call from the microphone to its end.
   * @returns {Promise<CallOutcome>}
   */
  async #attempt() {
    try {
      this.#stop.signal.throwIfAborted();
      this.microphone ??= await openMicrophone(this.#options.microphone ?? true);
      this.muted = this.#muted;
      this.#stop.signal.throwIfAborted();
      await this.#converse();
      return { error: null, endedBy: this.call?.ended_by ?? null, call: this.call };
    } catch (error) {
      const onPurpose = this.#stop.signal.aborted;
      return { error: onPurpose ? null : error, endedBy: onPurpose && this.call ? "client" : null, call: this.call };
    }
  }

  /** Opens the call, connects it, and waits for its end; throws where nobody decided that end. */
  async #converse() {
    const peer = (this.peer = new RTCPeerConnection());
    const channel = peer.createDataChannel("oai-events");
    const stopSound = this.#carrySound(peer);
    try {
      await this.#open(peer);
      const end = ending(peer, channel, this.#stop.signal);
      if ((await within(CONNECT_SECONDS, Promise.race([opened(channel), end]))) === "open") {
        this.#listen(channel);
        await this.#learnEnd(await this.#untilEnd(end), "connection_lost", "The connection was lost.");
      } else {
        const words = `The call could not be connected within ${CONNECT_SECONDS} s.`;
        await this.#learnEnd("failed", "connection_failed", words);
      }
    } catch (error) {
      // Whatever failed here must not leave a call running that nobody hears. Silence first: the service may be slow.
      stopSound();
      // It rejects where the app has closed the connection, or the answer has no sound: then none is sent.
      for (const sender of peer.getSenders()) sender.replaceTrack(null).catch(() => {});
      await this.#delete();
      // The vendor closes first: about a session that its client has just left it could tell the service nothing.
      if (channel.readyState === "open") await within(CLOSING_SECONDS, closed(channel));
      throw error;
    } finally {
      this.#channel = null;
      stopSound();
      peer.close();
    }
  }

  /**
   * @param {RTCPeerConnection} peer
   * @returns {() => void} silences it
   */
  #carrySound(peer) {
    const [track] = this.microphone?.getAudioTracks() ?? [];
    if (track) peer.addTrack(track, /** @type {MediaStream} */ (this.microphone));
    else peer.addTransceiver("audio", { direction: "recvonly" });
    const { audio = true } = this.#options;
    const player = audio === true ? new Audio() : audio;
    peer.addEventListener("track", ({ track, streams: [stream = new MediaStream([track])] }) => {
      if (player) {
        player.srcObject = stream;
        player.play().catch(() => {}); // a page that nobody has clicked yet may make no sound
      }
      this._notify("track", stream);
    });
    return () => player && (player.srcObject = null);
  }

  /** @param {RTCPeerConnection} peer */
  async #open(peer) {
    const { model, session, profile, maxSeconds, timeout } = this.#options;
    await peer.setLocalDescription(await peer.createOffer());
    const asked = Date.now();
    const body = {
      sdp: peer.localDescription?.sdp,
      ...(model != null ? { model } : {}),
      ...(session != null ? { session } : {}),
      ...(profile != null ? { profile } : {}),
      ...(maxSeconds != null ? { max_seconds: maxSeconds } : {}),
    };
    // Not ended by `end()`: an answer that nobody reads would leave a call behind.
    const { call, sdp } = await this.#ask("", { method: "POST", body, timeout });
    this.call = call;
    this.#endsAt = asked + call.max_seconds * 1000;
    this._notify("call", call);
    this.#stop.signal.throwIfAborted();
    await peer.setRemoteDescription({ type: "answer", sdp });
  }

  /** @param {RTCDataChannel} channel */
  #listen(channel) {
    this.#channel = channel;
    channel.addEventListener("message", ({ data }) => this._receive(JSON.parse(data)));
    if (this.call) this._open(this.call);
  }

  /**
   * Tells the time until the call ends, and no longer than a moment beyond its deadline.
   * @param {Promise<"failed" | "closed" | "stopped">} end
   */
  async #untilEnd(end) {
    const opened = performance.now();
    this._notify("time", this.secondsLeft);
    const clock = setInterval(() => this._notify("time", this.secondsLeft), 1000);
    try {
      return await within((this.#endsAt - Date.now()) / 1000 + ENDING_SECONDS, end);
    } finally {
      clearInterval(clock);
      this.#held = performance.now() - opened;
    }
  }

  /**
   * Finds out why the connection ended, or was never made: a call whose end was decided is not opened again.
   *
   * @param {"failed" | "closed" | "stopped" | null} reason null where the deadline has passed
   * @param {string} code of the error where the connection failed by itself
   * @param {string} words
   */
  async #learnEnd(reason, code, words) {
    this.#stop.signal.throwIfAborted();
    this.#channel = null;
    const patience = Date.now() + ENDING_SECONDS * 1000;
    let call = await this.#readEnd();
    // The service records that a call is to end before the vendor hangs up, and by whom once the end is confirmed.
    while (call.state === "ending" && Date.now() < patience) {
      await pause(0.25, this.#stop.signal);
      this.#stop.signal.throwIfAborted();
      call = await this.#readEnd();
    }
    this.call = call;
    if (call.state !== "open") return;
    if (reason === "failed") throw new ConnectionFailed(words, { code });
    await this.#delete(); // the vendor closed it, and the service has not noticed yet
    this.call = { ...call, state: "ended", ended_by: "vendor" };
  }

  /**
   * Reads the call after its connection has ended. A JWT that is refused before its time: the user was revoked, and the
   * service tells that user nothing more. A call that the service does not know: it kept it in memory, and restarted.
   *
   * @returns {Promise<Call>}
   */
  async #readEnd() {
    try {
      return await this.#read();
    } catch (error) {
      const status = error instanceof TokenError ? error.status : 0;
      const revoked = status === 401 && expiry(this.#bearer) > Date.now() / 1000;
      if (!this.call || !(revoked || status === 404)) throw error;
      return { ...this.call, state: "ended", ended_by: revoked ? "revoked" : "unknown" };
    }
  }

  /** @returns {Promise<Call>} */
  async #read() {
    const id = this.call?.id;
    for (let failures = 0; ; ) {
      try {
        return (await this.#ask(`/${id}`, { method: "GET" })).call;
      } catch (error) {
        const attempts = Math.max(2, this.#reconnect.attempts);
        if (!(error instanceof TokenError) || !error.transient || failures >= attempts) throw error;
        await pause(backoff(this.#reconnect, failures++, error), this.#stop.signal);
        this.#stop.signal.throwIfAborted();
      }
    }
  }

  async #delete() {
    if (!this.call || this.call.state === "ended") return;
    for (let failures = 0; failures < 3; failures++) {
      try {
        await this.#ask(`/${this.call.id}`, { method: "DELETE", keepalive: true, timeout: 10 });
        this.call = { ...this.call, state: "ending" };
        return;
      } catch (error) {
        if (!(error instanceof TokenError) || !error.transient) return;
        await pause(0.5 * 2 ** failures, AbortSignal.timeout(10_000));
      }
    }
  }

  /** The page is being left: a request that outlives it ends the call. */
  async #leave() {
    if (!this.call || !this.#bearer || this.call.state === "ended") return;
    const { fetch } = this.#options;
    await ask(`${this.#callsUrl}/${this.call.id}`, this.#bearer, { method: "DELETE", keepalive: true, fetch }).catch(() => {});
  }

  /**
   * @param {string} path
   * @param {{ method: string, body?: Record<string, any>, timeout?: number, keepalive?: boolean }} options
   */
  async #ask(path, options) {
    this.#bearer = typeof this.#jwt === "function" ? await this.#jwt() : this.#jwt;
    return ask(this.#callsUrl + path, this.#bearer, { ...options, fetch: this.#options.fetch });
  }
}

/** A connection that failed by itself: the only end after which a call is opened anew. */
class ConnectionFailed extends RealtimeError {
  /** @override */
  get transient() {
    return true;
  }
}

/** @param {boolean | MediaStream} wanted */
async function openMicrophone(wanted) {
  if (typeof wanted === "object") return wanted;
  if (!wanted) return null;
  return navigator.mediaDevices.getUserMedia({
    audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  });
}

/** @param {MediaStream | null} stream */
function stopTracks(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/**
 * @param {RTCDataChannel} channel
 * @returns {Promise<"open">}
 */
function opened(channel) {
  return new Promise((resolve) => {
    if (channel.readyState === "open") resolve("open");
    else channel.addEventListener("open", () => resolve("open"), { once: true });
  });
}

/**
 * @param {RTCDataChannel} channel
 * @returns {Promise<unknown>}
 */
function closed(channel) {
  return new Promise((resolve) => channel.addEventListener("close", resolve, { once: true }));
}

/**
 * How the connection ends: `failed` by itself, `closed` by the other side, or `stopped` by us.
 *
 * @param {RTCPeerConnection} peer
 * @param {RTCDataChannel} channel
 * @param {AbortSignal} stop
 * @returns {Promise<"failed" | "closed" | "stopped">}
 */
function ending(peer, channel, stop) {
  return new Promise((resolve) => {
    if (stop.aborted) resolve("stopped");
    stop.addEventListener("abort", () => resolve("stopped"), { once: true });
    channel.addEventListener("close", () => resolve(peer.connectionState === "failed" ? "failed" : "closed"));
    peer.addEventListener("connectionstatechange", () => peer.connectionState === "failed" && resolve("failed"));
  });
}

/**
 * @template T
 * @param {number} seconds
 * @param {Promise<T>} promise
 * @returns {Promise<T | null>} null where the time is over first
 */
async function within(seconds, promise) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const over = new Promise((resolve) => (timer = setTimeout(() => resolve(null), seconds * 1000)));
  try {
    return await Promise.race([promise, /** @type {Promise<null>} */ (over)]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The end of a JWT in Unix seconds; 0 where it has none that can be read.
 * @param {string} jwt
 * @returns {number}
 */
function expiry(jwt) {
  try {
    return JSON.parse(atob(jwt.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).exp ?? 0;
  } catch {
    return 0;
  }
}
