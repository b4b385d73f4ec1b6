// @ts-check
/**
 * Refusals in words a person can act on: where a request was stopped, why, and how to fix it.
 * @module
 */

import { RealtimeError, TokenError } from "../realtime.js";

/** @typedef {"jwt" | "policy" | "limit" | "vendor" | "grant" | "session"} Step */

/**
 * @typedef {object} Refusal
 * @property {Step} step
 * @property {string} title
 * @property {string} words
 * @property {string} fix what would let the request pass
 * @property {string} code
 * @property {string | null} param
 * @property {string | null} requestId
 * @property {number | null} retryAfter seconds
 */

/** @typedef {[step: Step, title: string, words: string, fix: string]} Entry */

const FRESH = "Connect again: it asks for a fresh one.";
const LATER = "Nothing is wrong with your request. Try again in a moment.";
const OPERATOR = "Only the operator can fix this: the service’s log has an ERROR line about it.";

/** @type {Record<string, Entry>} */
const REFUSALS = {
  missing_token: ["jwt", "No token was sent", "Every request needs a JWT.", "Paste a JWT under “Your token”."],
  invalid_token: ["jwt", "The service refused this token",
    "It may have expired, be signed with another key, be meant for another service, or belong to a user who was " +
    "revoked. The response does not say which; the service’s log does.", "Sign in again for a fresh token."],
  insufficient_scope: ["jwt", "This token may not open sessions", "It lacks the scope that the service requires.",
    "Ask your identity provider for a token with that scope."],
  identity_provider_unavailable: ["jwt", "The token could not be checked",
    "The service has not got the identity provider’s keys yet.", LATER],
  unreachable: ["jwt", "The service cannot be reached", "No answer came.", "Is it still running, and are you online?"],
  model_not_allowed: ["policy", "This model is not allowed", "", "Choose one that the service offers, or add it to ALLOWED_MODELS."],
  session_field_not_allowed: ["policy", "This setting is not allowed", "", "Leave it out, or let the policy allow it."],
  session_type_not_allowed: ["policy", "This session type is not offered", "",
    "Choose another way to connect, or change CLIENT_SECRET_TYPES or CALL_TYPES."],
  not_found: ["policy", "There is no such route here", "This service opens no calls (CALL_TYPES=none), or is too old for them.",
    "Choose a secret instead."],
  rate_limit_exceeded: ["limit", "Too many requests", "", "Wait until the time below has passed."],
  too_many_calls: ["limit", "Too many calls are open", "", "End one of them."],
  call_minutes_exhausted: ["limit", "No minutes are left", "", "Wait for the next window."],
  rate_limit_storage_unavailable: ["limit", "Limits cannot be counted now", "The storage of the limits cannot be reached.", LATER],
  call_registry_unavailable: ["limit", "Calls cannot be recorded now",
    "A call that could not be ended is not opened.", LATER],
  upstream_rejected_credentials: ["vendor", "The service has a problem with its key",
    "The vendor refused the service’s own key.", OPERATOR],
  upstream_quota_exhausted: ["vendor", "The company’s account is used up",
    "The vendor says that there is no credit, or a spend limit was reached.", OPERATOR],
  upstream_rate_limited: ["vendor", "The vendor is busy", "It limits how often the service may ask.", LATER],
  upstream_error: ["vendor", "The vendor’s answer could not be used", "", LATER],
  upstream_timeout: ["vendor", "The vendor took too long", "", LATER],
  upstream_unavailable: ["vendor", "The vendor cannot be reached", "", LATER],
  call_ended: ["grant", "The call was ended while it was being opened", "", "Connect again."],
  ephemeral_token_already_used: ["session", "This secret has been used", "A secret opens one session only.", FRESH],
  invalid_api_key: ["session", "The vendor refused this secret", "The vendor does not know it, or it has expired.", FRESH],
  invalid_model: ["session", "The vendor does not know this model", "", "Choose another one."],
  event_not_allowed: ["session", "The vendor dropped this event",
    "The service allows this call’s client only some events, and this is not one of them.",
    "Let the policy’s data_channel allow it."],
  beta_api_shape_disabled: ["session", "This is the retired beta", "The client asks for an interface that is switched off.",
    "Update the client."],
  connection_failed: ["session", "The call could not be connected",
    "The service opened it, but no sound came through within 10 s. It has been ended.",
    "Look for a firewall that blocks UDP, then try again."],
  connection_lost: ["session", "The connection was lost", "The network failed, or the vendor ended the session.",
    "Connect again."],
};

/** @type {Entry} */
const EXPIRED = ["session", "This secret has expired", "A secret must open its session within its short life.", FRESH];

/** @type {Record<string, [title: string, words: string, fix: string]>} */
const MICROPHONE = {
  NotAllowedError: ["The microphone is blocked", "This browser gives the page no sound.",
    "Allow it in the browser’s settings for this page, or type instead."],
  NotFoundError: ["There is no microphone", "This machine has none that the browser can see.", "Connect one, or type instead."],
};

/** Codes whose message says more than we know: which limit, which model, which member. */
const TELLING = new Set(["rate_limit_exceeded", "too_many_calls", "call_minutes_exhausted"]);

/** What the page counts down itself. */
const COUNTED = / Try again in \d+ s\.$/;

/**
 * @param {unknown} error
 * @param {{ counted?: boolean }} [known] `counted`: the answer told a quota, so the request had passed the policy
 * @returns {Refusal}
 */
export function describe(error, { counted = false } = {}) {
  const none = { param: null, requestId: null, retryAfter: null };
  if (error instanceof RealtimeError) {
    return { ...none, ...worded(error, error.expired ? EXPIRED : undefined, "session"), param: error.param };
  }
  if (error instanceof TokenError) {
    const { status, code, param, requestId, retryAfter } = error;
    const entry = status === 404 ? REFUSALS.not_found : undefined;
    const refusal = worded(error, entry, counted ? "vendor" : "policy");
    return { ...refusal, code: status ? `${status} ${code}` : code, param, requestId, retryAfter };
  }
  const { name, message } = /** @type {Error} */ (error);
  const [title, words, fix] = MICROPHONE[name] ?? ["Something went wrong", message, ""];
  return { ...none, step: "session", title, words, fix, code: name };
}

/**
 * @param {TokenError | RealtimeError} error
 * @param {Entry | undefined} entry
 * @param {Step} elsewhere where a code that we do not know is thought to come from
 */
function worded({ code, message, param }, entry = REFUSALS[code], elsewhere) {
  const [step, title, words, fix] = entry ?? [elsewhere, "The request was refused", "", ""];
  const said = TELLING.has(code) || param || !words ? message.replace(COUNTED, "") : "";
  return { step, title, words: [words, said].filter(Boolean).join(" "), fix, code };
}

/** How a call ended, by `ended_by`. @type {Record<string, string>} */
export const ENDINGS = {
  client: "You ended it.",
  deadline: "Its time was up: the service ended it at the vendor.",
  replaced: "A newer call of yours took its place.",
  revoked: "You were revoked: the service ended your calls, and refuses your token from now on.",
  admin: "An admin ended it.",
  vendor: "The vendor ended it.",
  shutdown: "The service shut down, and ended its calls.",
  unknown: "It ended, for an unknown reason.",
};
