// @ts-check
/**
 * Refusals in words a person can act on.
 * @module
 */

import { RealtimeError, TokenError } from "../realtime.js";

/** @typedef {{ title: string, words: string, code: string, retryAfter: number | null }} Refusal */

/** @type {Record<string, [title: string, words: string]>} */
const WORDS = {
  missing_token: ["No token was sent", "Paste a JWT above, then connect again."],
  invalid_token: [
    "The service refused this token",
    "It may have expired, be signed with another key, or be meant for another service. Which of them, only " +
      "the service’s log tells.",
  ],
  insufficient_scope: ["This token may not open sessions", "It lacks the scope that the service requires."],
  model_not_allowed: ["This model is not allowed", "Choose one of the models that the service offers."],
  session_field_not_allowed: ["This setting is not allowed", "The service’s policy does not let callers set it."],
  rate_limit_exceeded: ["Too many requests", "The service limits how often a secret can be had."],
  upstream_rate_limited: ["The vendor is busy", "It limits how often the service may ask. Try again in a moment."],
  upstream_rejected_credentials: [
    "The service has a problem with its key",
    "The vendor refused the service’s own key. Its operators have been told; you can do nothing about it.",
  ],
  upstream_quota_exhausted: [
    "The service’s account is empty",
    "It has no credit with the vendor, or reached a spend limit. Its operators have been told.",
  ],
  upstream_error: ["The vendor’s answer made no sense", "Nothing is wrong with your request. Try again."],
  upstream_timeout: ["The vendor took too long", "Nothing is wrong with your request. Try again."],
  upstream_unavailable: ["The vendor cannot be reached", "Nothing is wrong with your request. Try again later."],
  unreachable: ["The service cannot be reached", "Is it still running, and are you online?"],
  ephemeral_token_already_used: [
    "This secret has been used",
    "A secret opens one session only. Connecting again asks for a fresh one.",
  ],
  invalid_api_key: ["The vendor refused this secret", "It is not one that it knows, or its time is over."],
  invalid_model: ["The vendor does not know this model", "Choose another one."],
  beta_api_shape_disabled: ["This is the retired beta", "The client asks for an interface that is switched off."],
  connection_lost: ["The connection was lost", "The network failed, or the secret was refused before a session began."],
};

/** @type {[title: string, words: string]} */
const EXPIRED = [
  "This secret has expired",
  "A secret must open its session within its short life. Connecting again asks for a fresh one.",
];

/** @type {Record<string, [title: string, words: string]>} */
const MICROPHONE = {
  NotAllowedError: ["The microphone is blocked", "Allow it for this page in the browser’s settings, or type instead."],
  NotFoundError: ["There is no microphone", "Connect one, or type instead."],
};

/**
 * @param {unknown} error
 * @returns {Refusal}
 */
export function describe(error) {
  if (error instanceof RealtimeError) {
    const [title, words] = error.expired ? EXPIRED : wordsFor(error);
    return { title, words, code: error.code, retryAfter: null };
  }
  if (error instanceof TokenError) {
    const [title, words] = wordsFor(error);
    const code = error.status ? `${error.status} ${error.code}` : error.code;
    return { title, words, code, retryAfter: error.retryAfter };
  }
  const { name, message } = /** @type {Error} */ (error);
  const [title, words] = MICROPHONE[name] ?? ["Something went wrong", message];
  return { title, words, code: name, retryAfter: null };
}

/**
 * What the service says is kept where it says more than we know: which limit, which member.
 * @param {TokenError | RealtimeError} error
 */
function wordsFor({ code, message, param }) {
  const [title, words] = WORDS[code] ?? ["The request was refused", ""];
  const said = code === "rate_limit_exceeded" || param || !words ? message : "";
  return [title, [words, said].filter(Boolean).join(" ")];
}
