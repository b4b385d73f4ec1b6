// @ts-check
/**
 * Realtime sessions from a browser, with a secret from the token service and no other dependency.
 *
 *     import { connect, requestToken } from "/static/realtime.js";
 *
 *     const session = connect((options) => requestToken("/token", jwt, options));
 *     await session.ready;
 *     session.send({ type: "response.create" });
 *     for await (const event of session) console.log(event.type);
 *
 * A secret opens one session, so `connect` asks its token source for a new one at every attempt.
 * All durations are seconds. Runs in browsers of 2024 and later, and in Node 22.
 *
 * @module
 */

/** Where and how to open the session a secret was minted for.
 * @typedef {{ url: string, protocols: string[], calls_url?: string }} Connection */

/** The token service's answer: `value` is the secret, `expires_at` its end in Unix seconds.
 * @typedef {{ value: string, expires_at: number, session: Record<string, any>, connection: Connection }} Token */

/** A token that will be used once, or what mints one for every attempt.
 * @typedef {Token | ((options: { signal: AbortSignal }) => Token | Promise<Token>)} TokenSource */

/** A client or server event, as the vendor's API reference defines them.
 * @typedef {{ type: string, [member: string]: any }} RealtimeEvent */

/** @typedef {{ message?: string, code?: string | null, param?: string | null }} ErrorBody */

const ALREADY_USED = "ephemeral_token_already_used";
/** Close codes from here on are the application's: a decision, which a new attempt would only meet again. */
const FIRST_APPLICATION_CLOSE_CODE = 3000;

/** The token service refused, failed or could not be reached. */
export class TokenError extends Error {
  /** @override */
  name = "TokenError";

  /**
   * @param {string} message
   * @param {{ status: number, code: string, param?: string | null, retryAfter?: number | null,
   *           requestId?: string | null, cause?: unknown }} details
   *   `status` is 0 and `code` is `unreachable` where no answer came; `retryAfter` is in seconds.
   */
  constructor(message, { status, code, param = null, retryAfter = null, requestId = null, cause }) {
    super(message, { cause });
    this.status = status;
    this.code = code;
    this.param = param;
    this.retryAfter = retryAfter;
    this.requestId = requestId;
  }

  /** Whether the same request may succeed later. */
  get transient() {
    return [0, 429, 503, 504].includes(this.status);
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
 *           profile?: string | null, timeout?: number, signal?: AbortSignal }} [options]
 *   `expiresIn` is the secret's life; `timeout` bounds the whole call.
 * @returns {Promise<Token>}
 * @throws {TokenError}
 */
export async function requestToken(tokenUrl, jwt, options = {}) {
  const { model, session, expiresIn, profile, timeout = 30, signal } = options;
  const body = {
    ...(model ? { model } : {}),
    ...(session ? { session } : {}),
    ...(expiresIn ? { expires_after: { anchor: "created_at", seconds: expiresIn } } : {}),
    ...(profile ? { profile } : {}),
  };
  const deadline = AbortSignal.timeout(timeout * 1000);
  try {
    const response = await fetch(tokenUrl, {
      method: "POST",
      headers: { Authorization: `Bearer ${jwt}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    });
    if (!response.ok) throw await refusal(response);
    return await response.json();
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
 * @property {boolean | { attempts?: number, minDelay?: number, maxDelay?: number }} [reconnect]
 *   open a new session when one is lost or the service is busy (by default 8 times in a row, after a random
 *   delay that doubles up to 30 s, or the service's `Retry-After`). A new session starts with an empty
 *   conversation: what it needs to know is sent again on `open`. Needs a source that mints.
 * @property {number} [timeout] how long the vendor may take to accept the secret (20)
 */

/**
 * A Realtime session as an event target. Every server event is dispatched as a `MessageEvent`, once as
 * `message` and once under its own type (`response.done`, `error`, …), with the event as `data`. Beside them,
 * each a `CustomEvent`: `token` (a secret was minted; `detail` is the `Token`), `open` (a session began),
 * `retry` (`detail` is `{ error, delay }`) and finally `close` (`detail` is `{ error }`, null if on purpose).
 */
export class RealtimeConnection extends EventTarget {
  #stop = new AbortController();
  /** @type {PromiseWithResolvers<RealtimeEvent>} */
  #ready = Promise.withResolvers();
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {{ error: unknown } | null} */
  #outcome = null;
  #source;
  #reconnect;
  #timeout;

  /**
   * @param {TokenSource} source
   * @param {ConnectOptions} options
   */
  constructor(source, { reconnect = false, timeout = 20 }) {
    super();
    const limits = { attempts: 8, minDelay: 0.5, maxDelay: 30, ...(reconnect === true ? {} : reconnect) };
    this.#source = source;
    this.#reconnect = reconnect && typeof source === "function" ? limits : { ...limits, attempts: 0 };
    this.#timeout = timeout;
    // A caller that only listens for `close` is told there; the promise must not report it as unhandled.
    this.#ready.promise.catch(() => {});
    void this.#run();
  }

  /** Resolves with the first session's `session.created`; rejects where no session could be opened. */
  get ready() {
    return this.#ready.promise;
  }

  /**
   * @param {RealtimeEvent} event
   * @throws {DOMException} `InvalidStateError` while no session is open
   */
  send(event) {
    if (!this.#socket) throw new DOMException("No Realtime session is open.", "InvalidStateError");
    this.#socket.send(JSON.stringify(event));
  }

  /** Ends the session, and any attempt at one. */
  close() {
    this.#stop.abort();
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

  async #run() {
    let failures = 0;
    for (;;) {
      const began = performance.now();
      const error = await this.#attempt();
      // A session that held for a while was a success: the next trouble is a new one.
      if (performance.now() - began > this.#reconnect.maxDelay * 1000) failures = 0;
      if (!error?.transient || failures >= this.#reconnect.attempts) return this.#finish(error);
      const delay = this.#delay(error, failures++);
      this.#notify("retry", { error, delay });
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
        this.#notify("retry", { error, delay: 0 }));
      return null;
    } catch (error) {
      return signal.aborted ? null : error;
    }
  }

  /**
   * Seconds to wait: random, so that clients cut off together do not come back together.
   * @param {unknown} error
   * @param {number} failures
   */
  #delay(error, failures) {
    const { minDelay, maxDelay } = this.#reconnect;
    const ceiling = Math.min(maxDelay, minDelay * 2 ** failures);
    const asked = error instanceof TokenError ? (error.retryAfter ?? 0) : 0;
    return asked + ceiling * (0.5 + Math.random() / 2);
  }

  /**
   * Resolves when the session was ended on purpose; rejects when it was refused or lost.
   * @param {Token} token
   */
  async #converse(token) {
    this.#notify("token", token);
    const socket = new WebSocket(token.connection.url, token.connection.protocols);
    const { promise, resolve, reject } = /** @type {PromiseWithResolvers<void>} */ (Promise.withResolvers());
    const overdue = setTimeout(() => socket.close(), this.#timeout * 1000);
    const hangUp = () => socket.close(1000);
    this.#stop.signal.addEventListener("abort", hangUp);
    /** @type {ErrorBody | null} the error that nothing has followed yet, so that a close belongs to it */
    let complaint = null;
    socket.addEventListener("message", ({ data }) => {
      const event = JSON.parse(data);
      complaint = event.type === "error" ? event.error : null;
      if (!this.#socket) {
        if (complaint) return; // the refusal of a secret: the close that follows reports it
        clearTimeout(overdue);
        this.#accept(socket, event);
      }
      this.dispatchEvent(new MessageEvent("message", { data: event }));
      this.dispatchEvent(new MessageEvent(event.type, { data: event }));
    });
    socket.addEventListener("close", (closed) => {
      clearTimeout(overdue);
      this.#stop.signal.removeEventListener("abort", hangUp);
      const orderly = this.#socket !== null && !complaint && [1000, 1005].includes(closed.code);
      this.#socket = null;
      if (orderly || this.#stop.signal.aborted) resolve();
      else reject(lost(closed, complaint, token));
    });
    return promise;
  }

  /**
   * @param {WebSocket} socket
   * @param {RealtimeEvent} event
   */
  #accept(socket, event) {
    this.#socket = socket;
    this.#ready.resolve(event);
    this.#notify("open", event);
  }

  /** @param {unknown} error */
  #finish(error) {
    this.#outcome = { error };
    this.#ready.reject(error ?? new DOMException("The session was closed before it opened.", "AbortError"));
    this.#notify("close", { error });
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #notify(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
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
