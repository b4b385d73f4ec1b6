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
export declare const version = "2.0.0";
export type Connection = {
    url: string;
    protocols: string[];
    calls_url?: string;
};
export type Token = {
    value: string;
    expires_at: number;
    session: Record<string, any>;
    connection: Connection;
};
export type TokenSource = Token | ((options: {
    signal: AbortSignal;
}) => Token | Promise<Token>);
export type RealtimeEvent = {
    type: string;
    [member: string]: any;
};
export type Fetch = typeof globalThis.fetch;
export type ErrorBody = {
    message?: string;
    code?: string | null;
    param?: string | null;
};
/** The token service refused, failed or could not be reached. */
export declare class TokenError extends Error {
    status: number;
    code: string;
    param: string | null;
    retryAfter: number | null;
    requestId: string | null;
    final: boolean;
    /** @override */
    name: string;
    /**
     * @param {string} message
     * @param {{ status: number, code: string, param?: string | null, retryAfter?: number | null,
     *           requestId?: string | null, final?: boolean, cause?: unknown }} details
     *   `status` is 0 and `code` is `unreachable` where no answer came; `retryAfter` is in seconds; `final` where
     *   the service said `x-should-retry: false`.
     */
    constructor(message: string, { status, code, param, retryAfter, requestId, final, cause }: {
        status: number;
        code: string;
        param?: string | null;
        retryAfter?: number | null;
        requestId?: string | null;
        final?: boolean;
        cause?: unknown;
    });
    /** Whether the same request may succeed later. */
    get transient(): boolean;
}
/** The vendor refused a secret, or a session was lost. */
export declare class RealtimeError extends Error {
    code: string;
    param: string | null;
    closeCode: number | null;
    expired: boolean;
    /** @override */
    name: string;
    /**
     * @param {string} message
     * @param {{ code: string, param?: string | null, closeCode?: number | null, expired?: boolean }} details
     *   `code` is the vendor's, or `connection_lost` where none was given. `expired` tells that the secret's
     *   time had passed, which the vendor's `invalid_api_key`, or a 401 that browsers hide, does not.
     */
    constructor(message: string, { code, param, closeCode, expired }: {
        code: string;
        param?: string | null;
        closeCode?: number | null;
        expired?: boolean;
    });
    /** Whether a new session may succeed where this one failed. */
    get transient(): boolean;
}
/**
 * The WebSocket subprotocols that carry a secret where headers cannot be set.
 *
 * @param {string} secret
 * @param {{ organization?: string | null, project?: string | null, beta?: boolean }} [options]
 * @returns {string[]}
 */
export declare function subprotocols(secret: string, { organization, project, beta }?: {
    organization?: string | null;
    project?: string | null;
    beta?: boolean;
}): string[];
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
export declare function requestToken(tokenUrl: string | URL, jwt: string, options?: {
    model?: string | null;
    session?: Record<string, any> | null;
    expiresIn?: number | null;
    profile?: string | null;
    timeout?: number;
    signal?: AbortSignal;
    fetch?: Fetch;
}): Promise<Token>;
/**
 * Opens a Realtime session over a WebSocket.
 *
 * Returns at once, so that no event is missed; `ready` resolves when the vendor has accepted the secret.
 *
 * @param {TokenSource} source
 * @param {ConnectOptions} [options]
 */
export declare function connect(source: TokenSource, options?: ConnectOptions): RealtimeConnection;
export type ConnectOptions = {
    /**
     * open a new session when one is lost or the service is busy
     * (by default 8 times in a row, after a random delay that doubles up to 30 s, or the service's `Retry-After`; after a
     * session that was open for longer than the longest delay they are counted anew). A new session starts with an empty
     * conversation: what it needs to know is sent again on `open`. Needs a source that mints.
     */
    reconnect?: boolean | RetryLimits;
    /**
     * how long the vendor may take to accept the secret (20)
     */
    timeout?: number;
};
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
declare class EventStream<Opened> extends EventTarget {
    #private;
    constructor();
    /**
     * As every event target's, but without a type for each event: TypeScript cannot know the vendor's.
     *
     * @override
     * @param {string} type
     * @param {((event: any) => void) | EventListenerObject | null} listener
     * @param {boolean | AddEventListenerOptions} [options]
     */
    addEventListener(type: string, listener: ((event: any) => void) | EventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
    /** Resolves when the first session has begun; rejects where none could be opened. */
    get ready(): Promise<Opened>;
    /**
     * The server events from now on; ends with the session, and throws what it was lost by.
     * @returns {AsyncGenerator<RealtimeEvent, void, void>}
     */
    [Symbol.asyncIterator](): AsyncGenerator<RealtimeEvent, void, void>;
    /**
     * @protected
     * @param {Opened} opened
     */
    protected _open(opened: Opened): void;
    /**
     * @protected
     * @param {RealtimeEvent} event
     */
    protected _receive(event: RealtimeEvent): void;
    /**
     * @protected
     * @param {{ error: unknown }} outcome
     */
    protected _finish(outcome: {
        error: unknown;
    }): void;
    /**
     * @protected
     * @param {string} type
     * @param {unknown} detail
     */
    protected _notify(type: string, detail: unknown): void;
}
export type RetryLimits = {
    attempts?: number;
    minDelay?: number;
    maxDelay?: number;
};
/**
 * A Realtime session as an event target. Every server event is dispatched as a `MessageEvent`, once as
 * `message` and once under its own type (`response.done`, `error`, …), with the event as `data`. Beside them,
 * each a `CustomEvent`: `token` (a secret was minted; `detail` is the `Token`), `open` (a session began),
 * `retry` (`detail` is `{ error, delay }`) and finally `close` (`detail` is `{ error }`, null if on purpose).
 *
 * @extends {EventStream<RealtimeEvent>}
 */
export declare class RealtimeConnection extends EventStream<RealtimeEvent> {
    #private;
    /**
     * @param {TokenSource} source
     * @param {ConnectOptions} options
     */
    constructor(source: TokenSource, { reconnect, timeout }: ConnectOptions);
    /**
     * @param {RealtimeEvent} event
     * @throws {DOMException} `InvalidStateError` while no session is open
     */
    send(event: RealtimeEvent): void;
    /** Ends the session, and any attempt at one. */
    close(): void;
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
export declare function connectWebRTC(peer: RTCPeerConnection, source: TokenSource, { signal }?: {
    signal?: AbortSignal;
}): Promise<{
    token: Token;
    location: string | null;
}>;
export type Call = {
    id: string;
    type: string;
    model: string;
    state: "open" | "ending" | "ended";
    opened_at: number;
    expires_at: number;
    max_seconds: number;
    ended_at?: number;
    seconds?: number;
    ended_by?: string;
};
export type JwtSource = string | (() => string | Promise<string>);
export type CallOutcome = {
    error: unknown;
    endedBy: string | null;
    call: Call | null;
};
export type CallOptions = {
    model?: string | null;
    /**
     * in the vendor's shape; `type` is `realtime` or `live`
     */
    session?: Record<string, any> | null;
    profile?: string | null;
    /**
     * how long the call may last at most; the service may allow less
     */
    maxSeconds?: number | null;
    /**
     * whether to ask for the microphone (true), or what is sent instead
     */
    microphone?: boolean | MediaStream;
    /**
     * whether, or where, the answer is played (true)
     */
    audio?: boolean | HTMLAudioElement;
    /**
     * open a new call where the connection failed. Never after an end that
     * was decided (`replaced`, `revoked`, `admin`, `deadline` …), nor where the service refused. A new call starts with
     * an empty conversation.
     */
    reconnect?: boolean | RetryLimits;
    /**
     * how long the service may take to open the call (30)
     */
    timeout?: number;
    /**
     * used in the place of the global one
     */
    fetch?: Fetch;
};
/**
 * Opens a call: a session over WebRTC that the token service opens, limits, and can end.
 *
 * Returns at once; `ready` resolves when sound and events flow. The call ends with the page.
 *
 * @param {string | URL} callsUrl the service's `/calls`
 * @param {JwtSource} jwt
 * @param {CallOptions} [options]
 */
export declare function startCall(callsUrl: string | URL, jwt: JwtSource, options?: CallOptions): RealtimeCall;
/**
 * A call as an event target. Server events are dispatched as a `RealtimeConnection` does. Beside them, each a
 * `CustomEvent`: `call` (the service opened it; `detail` is the `Call`), `open` (connected; the same), `track` (the
 * answer's sound; `detail` is a `MediaStream`), `time` (every second; `detail` is `secondsLeft`), `retry` (`detail` is
 * `{ error, delay }`) and finally `close` (`detail` is a `CallOutcome`).
 *
 * @extends {EventStream<Call>}
 */
export declare class RealtimeCall extends EventStream<Call> {
    #private;
    /** @type {Call | null} the call as the service last told it */
    call: Call | null;
    /** @type {RTCPeerConnection | null} */
    peer: RTCPeerConnection | null;
    /** @type {MediaStream | null} what is sent */
    microphone: MediaStream | null;
    /**
     * @param {string | URL} callsUrl
     * @param {JwtSource} jwt
     * @param {CallOptions} options
     */
    constructor(callsUrl: string | URL, jwt: JwtSource, options: CallOptions);
    /** Seconds until the service ends the call; by this machine's clock, but not by its time of day. */
    get secondsLeft(): number;
    /** Whether silence is sent. */
    get muted(): boolean;
    set muted(muted: boolean);
    /**
     * @param {RealtimeEvent} event
     * @throws {DOMException} `InvalidStateError` while no call is connected
     */
    send(event: RealtimeEvent): void;
    /**
     * Ends the call, and any attempt at one. Never rejects: a call that cannot be ended now ends at its deadline.
     * @returns {Promise<CallOutcome>}
     */
    end(): Promise<CallOutcome>;
    /**
     * @override
     * @protected
     * @param {CallOutcome} outcome
     */
    protected _finish(outcome: CallOutcome): void;
}
export {};
