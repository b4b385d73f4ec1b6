// @ts-check
import { RealtimeError, TokenError, requestToken } from "./realtime.js";
import { Conversation } from "./demo/conversation.js";
import { EventLog } from "./demo/event-log.js";
import { experiments } from "./demo/experiments.js";
import { claims } from "./demo/jwt.js";
import { Meter } from "./demo/meter.js";
import { Notice } from "./demo/notice.js";
import { BYTES_PER_SAMPLE, SAMPLE_RATE } from "./demo/pcm.js";
import { describe } from "./demo/refusals.js";
import { SecretCard } from "./demo/secret.js";
import { sessionConfig } from "./demo/sessions.js";
import { Transcript } from "./demo/transcript.js";

/** @typedef {import("./realtime.js").TokenSource} TokenSource */
/** @typedef {import("./demo/sessions.js").Choice} Choice */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function byId(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new TypeError(`The page has no ${type.name} #${id}.`);
  return element;
}

/** @type {{ token_url: string, models: Record<string, string[]> }} */
const page = JSON.parse(byId("page-data", HTMLScriptElement).text);
const form = byId("setup", HTMLFormElement);
const settings = byId("settings", HTMLFieldSetElement);
const jwt = byId("jwt", HTMLTextAreaElement);
const model = byId("model", HTMLSelectElement);
const connectButton = byId("connect", HTMLButtonElement);
const trials = byId("trials", HTMLFieldSetElement);
const status = byId("status", HTMLElement);
const composer = byId("composer", HTMLFormElement);
const text = byId("text", HTMLInputElement);
const talk = byId("talk", HTMLButtonElement);
const sample = byId("sample", HTMLButtonElement);
const stop = byId("stop", HTMLButtonElement);
const send = byId("send", HTMLButtonElement);

const log = new EventLog(byId("events", HTMLElement), byId("event-count", HTMLElement));
const transcript = new Transcript(byId("transcript", HTMLElement), byId("announcer", HTMLElement));
const secret = new SecretCard(byId("secret", HTMLElement));
const meters = {
  input: new Meter(byId("input-meter", HTMLElement)),
  output: new Meter(byId("output-meter", HTMLElement)),
};
const notice = new Notice(byId("notice", HTMLElement), (waits) => {
  waiting = waits;
  render();
});

/** @type {Conversation | null} */
let conversation = null;
/** Whether the service has asked us to wait. */
let waiting = false;
/** Whether a refusal is being brought about. */
let trying = false;

/** @returns {Choice} */
function choice() {
  const data = new FormData(form);
  const value = (/** @type {string} */ name) => String(data.get(name) ?? "");
  const type = /** @type {Choice["type"]} */ (value("type"));
  return { type, model: model.value, answers: value("answers"), voice: value("voice"), language: value("language") };
}

/**
 * Mints a secret for what is chosen, and shows it.
 * @param {{ jwt?: string, expiresIn?: number, signal?: AbortSignal }} [options]
 */
async function mint({ jwt: bearer = jwt.value.trim(), ...options } = {}) {
  const { model, session } = request;
  try {
    const token = await requestToken(page.token_url, bearer, { model, session, ...options });
    log.add("token", `POST ${page.token_url}`, token);
    secret.show(token);
    return token;
  } catch (error) {
    if (error instanceof TokenError) log.add("refused", `POST ${page.token_url}`, described(error));
    throw error;
  }
}

/** @param {Error} error */
function described(error) {
  return { ...error, message: error.message };
}

/** What the form said when it was sent: its fields are disabled, and so silent, during a session. */
let request = read();

function read() {
  const chosen = choice();
  return { type: chosen.type, model: chosen.model, session: sessionConfig(chosen) };
}

/** @param {TokenSource} source */
function open(source) {
  const opened = new Conversation(request.type, source, meters, {
    changed: render,
    event(direction, event) {
      log.add(direction, event.type, event);
      if (direction === "received") transcript.apply(event);
      if (event.type === "session.created") arrive();
    },
    failed(error) {
      if (error instanceof RealtimeError && error.closeCode) log.add("refused", error.code, described(error));
      notice.show(describe(error));
    },
  });
  conversation = opened;
  render();
}

/** A session has begun: on to where it takes place. */
function arrive() {
  secret.spend();
  render();
  if (matchMedia("(min-width: 56rem)").matches) text.focus();
  else byId("conversation", HTMLElement).scrollIntoView();
}

function start() {
  request = read();
  conversation = null;
  notice.clear();
  transcript.clear();
}

/** Shows the state that everything is in; the only place that does. */
function render() {
  const state = conversation?.state ?? "closed";
  const active = state !== "closed";
  const ready = state === "open";
  const speaks = request.type === "realtime";
  document.body.dataset.state = state;
  document.body.dataset.type = request.type;
  status.textContent = { connecting: "Connecting…", open: "Connected", closed: "Not connected" }[state];
  settings.disabled = active || trying;
  trials.disabled = active || trying || waiting;
  connectButton.textContent = active ? "Disconnect" : "Connect";
  connectButton.setAttribute("aria-disabled", String(trying || (waiting && !active)));
  text.disabled = send.disabled = !(ready && speaks);
  text.placeholder = !ready ? "Connect first" : speaks ? "Type a message" : "Use the microphone";
  talk.disabled = sample.disabled = !ready;
  const listening = conversation?.listening ?? false;
  talk.setAttribute("aria-pressed", String(listening));
  talk.querySelector("[data-label]")?.replaceChildren(listening ? "Stop talking" : "Talk");
  const stoppable = ready && conversation?.answering;
  if (!stoppable && document.activeElement === stop) text.focus(); // hidden, it would take the focus with it
  stop.hidden = !stoppable;
  byId("audio-bytes", HTMLElement).textContent = heard(conversation?.audioBytes ?? 0);
}

/** @param {number} bytes */
function heard(bytes) {
  const seconds = (bytes / BYTES_PER_SAMPLE / SAMPLE_RATE).toFixed(1);
  return bytes ? `${bytes.toLocaleString("en")} bytes of audio, ${seconds} s` : "No audio yet";
}

/** Offers the settings that what is chosen has; the models too, where another session type was chosen. */
function offer() {
  const { type, answers } = choice();
  if (type !== form.dataset.type) {
    model.replaceChildren(...(page.models[type] ?? []).map((name) => new Option(name)));
  }
  form.dataset.type = type;
  form.dataset.answers = answers;
}

function showClaims() {
  const found = claims(jwt.value);
  const minutes = found && Math.round((found.exp - Date.now() / 1000) / 60);
  byId("claims", HTMLElement).textContent = found
    ? `Signed in as ${found.sub}${found.tier ? `, tier ${found.tier}` : ""}, ` +
      (minutes !== null && minutes > 0 ? `for another ${minutes} min.` : "but the token has expired.")
    : "This is not a JWT: the service will refuse it.";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (connectButton.getAttribute("aria-disabled") === "true") return;
  if (conversation && conversation.state !== "closed") return conversation.close();
  start();
  open(({ signal }) => mint({ signal }));
});

form.addEventListener("change", offer);

jwt.addEventListener("input", showClaims);

trials.addEventListener("click", async ({ target }) => {
  const experiment = experiments[/** @type {HTMLElement} */ (target).dataset.trial ?? ""];
  if (!experiment) return;
  start();
  trying = true;
  render();
  try {
    await experiment({ mint, open, spend: () => secret.spend(), jwt: () => jwt.value });
  } catch (error) {
    notice.show(describe(error));
  } finally {
    trying = false;
    render();
  }
});

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const said = text.value.trim();
  if (!said || send.disabled) return;
  conversation?.say(said);
  text.value = "";
});

talk.addEventListener("click", async () => {
  if (conversation?.listening) return conversation.stopListening();
  transcript.startParagraph();
  try {
    await conversation?.listen();
  } catch (error) {
    notice.show(describe(error));
  }
});

sample.addEventListener("click", () => {
  transcript.startParagraph();
  conversation?.sendSample();
});

stop.addEventListener("click", () => conversation?.stop());

byId("clear-events", HTMLButtonElement).addEventListener("click", () => log.clear());
byId("show-audio", HTMLInputElement).addEventListener("change", ({ target }) => {
  byId("events", HTMLElement).toggleAttribute("data-hide-audio", !(/** @type {HTMLInputElement} */ (target).checked));
});

offer();
showClaims();
request = read();
render();
