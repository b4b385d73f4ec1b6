// @ts-check
import { countdown } from "./countdown.js";
import { minutes, shorten } from "./dom.js";
import { maskSecret } from "./event-log.js";
import { jwtFacts, quotaFacts, quotaHeadline, sessionFacts } from "./facts.js";
import { ENDINGS } from "./refusals.js";

/** @typedef {import("../realtime.js").Call} Call */
/** @typedef {import("../realtime.js").Token} Token */
/** @typedef {import("./choices.js").Choice} Choice */
/** @typedef {import("./pipeline.js").Pipeline} Pipeline */
/** @typedef {import("./refusals.js").Refusal} Refusal */
/** @typedef {import("./requests.js").Answer} Answer */

/** Below this, the time that a call has left is shown as running out. */
const LOW_SECONDS = 15;

/** Fills the pipeline in as things happen, and tells the time that a call has left. */
export class Progress {
  #pipeline;
  #timer;
  #stopClock = () => {};
  #began = 0;
  #running = false;

  /** Whether a session has begun, and has not ended. */
  get running() {
    return this.#running;
  }

  /** The id of the call that is open here; empty where none is. */
  callId = "";

  /**
   * @param {Pipeline} pipeline
   * @param {HTMLElement} timer
   */
  constructor(pipeline, timer) {
    this.#pipeline = pipeline;
    this.#timer = timer;
  }

  /** @param {"Secret" | "Call"} grant */
  begin(grant) {
    this.#stop();
    this.#pipeline.begin(grant);
  }

  /**
   * A request is sent.
   * @param {Record<string, any> | null} claims
   * @param {Choice} choice
   */
  asked(claims, { access }) {
    this.begin(access === "call" || access === "live" ? "Call" : "Secret");
    this.#pipeline.wait("jwt", claims?.sub ?? "No JWT", claims ? jwtFacts(claims) : []);
  }

  /**
   * @param {Token} token
   * @param {{ model: string | null, session: Record<string, any>, profile: string | null }} request
   * @param {Answer | null} answer
   */
  minted(token, { model, session, profile }, answer) {
    const life = Math.round(token.expires_at - Date.now() / 1000);
    const asked = { model, ...session };
    this.#passService(answer, profile ? `Profile ${profile}` : String(model), [
      ...sessionFacts(asked, token.session),
      ["Secret’s life", `${life} s`],
    ]);
    this.#pipeline.pass("grant", "", [["Secret", maskSecret(token.value)], ["Opens", "one session"]]);
    this.#stopClock = countdown(token.expires_at * 1000, (left) => {
      if (left) this.#pipeline.say("grant", `${left} s left to use it`);
      else this.#pipeline.end("grant", "Expired unused");
    });
    this.#pipeline.wait("session", "Connecting…", []);
  }

  /**
   * @param {Call} call
   * @param {Choice} choice
   * @param {Answer | null} answer
   */
  granted(call, { maxSeconds, profile, access }, answer) {
    this.callId = call.id;
    const cut = maxSeconds && maxSeconds > call.max_seconds ? `, ${minutes(maxSeconds)} asked` : "";
    this.#passService(answer, profile ? `Profile ${profile}` : call.model, [
      ["At most", `${minutes(call.max_seconds)} min${cut}`],
      ["Client may", access === "live" ? "mute, unmute, close" : "send any event"],
    ]);
    this.#pipeline.pass("grant", `${minutes(call.max_seconds)} min granted`, [["Call", shorten(call.id, 14)]]);
    this.#pipeline.wait("session", "Connecting…", []);
  }

  /**
   * @param {Record<string, any>} session
   * @param {Choice} choice
   */
  opened(session, { access }) {
    this.#stopClock();
    this.#running = true;
    this.#began = Date.now();
    const id = String(session.id ?? "");
    const transport = access === "websocket" ? "WebSocket" : "WebRTC";
    this.#pipeline.pass("session", this.callId ? this.#timer.textContent : "", [["Session", shorten(id, 14)], ["Transport", transport]]);
    if (this.callId) return;
    this.#pipeline.pass("grant", "Used: its session runs", [["Session", shorten(id, 14)], ["Ends", "when the client or the vendor ends it"]]);
    const clock = setInterval(tell.bind(this), 1000);
    this.#stopClock = () => clearInterval(clock);
    tell.call(this);

    /** @this {Progress} */
    function tell() {
      this.#pipeline.say("session", `Open for ${this.#duration()}`);
    }
  }

  /** @param {number} seconds that the call has left */
  left(seconds) {
    const words = seconds ? `${minutes(seconds)} left` : "Time is up";
    this.#timer.hidden = false;
    this.#timer.textContent = words;
    this.#timer.toggleAttribute("data-low", seconds <= LOW_SECONDS);
    if (this.#running) this.#pipeline.say("session", words);
  }

  /**
   * @param {Refusal} refusal
   * @param {Answer | null} answer
   */
  refused(refusal, answer) {
    this.#stop();
    if (refusal.step !== "session" && answer?.quotas.length) this.#pipeline.pass("limit", quotaHeadline(answer.quotas), quotaFacts(answer.quotas));
    this.#pipeline.refuse(refusal);
  }

  /**
   * @param {string | null} endedBy
   * @param {Call | null} call
   * @returns {string | null} a sentence on how it ended, where something had begun
   */
  ended(endedBy, call) {
    const ran = this.#running;
    const duration = call?.seconds === undefined ? this.#duration() : minutes(call.seconds);
    this.#stop();
    if (!ran) return null;
    if (!call) {
      this.#pipeline.end("session", `Ended after ${duration}`);
      return null;
    }
    const why = endedBy ?? "unknown";
    this.#pipeline.end("session", `Ended after ${duration}`, [["Ended by", why]]);
    return `The call has ended after ${duration}. ${ENDINGS[why] ?? ""}`;
  }

  /**
   * @param {Answer | null} answer
   * @param {string} policy
   * @param {import("./pipeline.js").Facts} facts
   */
  #passService(answer, policy, facts) {
    this.#pipeline.pass("jwt", this.#pipeline.headline("jwt"));
    this.#pipeline.pass("policy", policy, facts);
    const quotas = answer?.quotas ?? [];
    this.#pipeline.pass("limit", quotaHeadline(quotas), quotaFacts(quotas));
    this.#pipeline.pass("vendor", `${answer?.ms ?? "?"} ms`, [["Answer", String(answer?.status ?? "")], ["Time", "the service’s own included"]]);
  }

  #duration() {
    return minutes((Date.now() - this.#began) / 1000);
  }

  #stop() {
    this.#stopClock();
    this.#stopClock = () => {};
    this.#running = false;
    this.callId = "";
    this.#timer.hidden = true;
  }
}
