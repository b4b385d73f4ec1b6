// @ts-check
import { RealtimeError, TokenError, requestToken, startCall } from "./realtime.js";
import { Admin } from "./demo/admin.js";
import { TYPES, isCall, requestFor } from "./demo/choices.js";
import { SocketConversation } from "./demo/conversation.js";
import { byId, copy } from "./demo/dom.js";
import { EventLog } from "./demo/event-log.js";
import { experiments } from "./demo/experiments.js";
import { claims } from "./demo/jwt.js";
import { Meter } from "./demo/meter.js";
import { Notice } from "./demo/notice.js";
import { BYTES_PER_SAMPLE, SAMPLE_RATE } from "./demo/pcm.js";
import { Pipeline } from "./demo/pipeline.js";
import { Progress } from "./demo/progress.js";
import { describe } from "./demo/refusals.js";
import { observedFetch } from "./demo/requests.js";
import { SecretLine } from "./demo/secret-line.js";
import { snippet } from "./demo/snippets.js";
import { OutgoingSound } from "./demo/sound.js";
import { tabs } from "./demo/tabs.js";
import { TrackConversation } from "./demo/track-conversation.js";
import { Transcript } from "./demo/transcript.js";

/** @typedef {import("./realtime.js").TokenSource} TokenSource */
/** @typedef {import("./demo/choices.js").Choice} Choice */
/** @typedef {import("./demo/requests.js").Answer} Answer */

/** @type {{ models: Record<string, string[]>, admin_token: string | null }} */
const page = JSON.parse(byId("page-data", HTMLScriptElement).text);
const form = byId("setup", HTMLFormElement);
const settings = byId("settings", HTMLFieldSetElement);
const jwt = byId("jwt", HTMLTextAreaElement);
const model = byId("model", HTMLSelectElement);
const connectButton = byId("connect", HTMLButtonElement);
const trials = byId("trials", HTMLFieldSetElement);
const text = byId("text", HTMLInputElement);
const talk = byId("talk", HTMLButtonElement);
const sample = byId("sample", HTMLButtonElement);
const stop = byId("stop", HTMLButtonElement);
const send = byId("send", HTMLButtonElement);
const wide = matchMedia("(min-width: 48rem)");

const log = new EventLog(byId("events", HTMLElement), byId("event-count", HTMLElement));
const transcript = new Transcript(byId("transcript", HTMLElement), byId("announcer", HTMLElement));
const meters = {
  input: new Meter(byId("input-meter", HTMLElement)),
  output: new Meter(byId("output-meter", HTMLElement)),
};
const notice = new Notice(byId("notice", HTMLElement), (waits) => {
  waiting = waits;
  render();
});
const progress = new Progress(new Pipeline(byId("pipeline", HTMLElement)), byId("time-left", HTMLElement));
const admin = page.admin_token
  ? new Admin(byId("panel-admin", HTMLElement), page.admin_token, logAnswer, () => progress.callId)
  : null;

/** @type {SocketConversation | TrackConversation | null} */
let conversation = null;
/** Whether the service has asked us to wait. */
let waiting = false;
/** Whether a refusal is being brought about. */
let trying = false;
/** What the form said when it was sent: its fields are disabled, and so silent, during a session. */
let choice = read();

/** @returns {Choice} */
function read() {
  const data = new FormData(form);
  const value = (/** @type {string} */ name) => String(data.get(name) ?? "");
  const access = /** @type {Choice["access"]} */ (value("access"));
  const types = TYPES[access];
  const type = types.find((name) => name === value("type")) ?? types[0];
  return { access, type, model: model.value, answers: value("answers"), voice: value("voice"),
    language: value("language"), profile: value("profile"), maxSeconds: Number(value("max-seconds")) || null };
}

/** @param {string} method @param {string} path @param {number} status @param {number} ms @param {unknown} content */
function logAnswer(method, path, status, ms, content) {
  const good = status >= 200 && status < 300;
  log.add(good ? "answered" : "refused", `${method} ${path}`, content, `${status || "no answer"} · ${ms} ms`);
}

/** @type {Answer | null} the service's last answer to what is under way */
let answer = null;
const observe = observedFetch((told) => {
  answer = told;
  if (told.method !== "POST") logAnswer(told.method, told.path, told.status, told.ms, {});
});

/**
 * Mints a secret for what is chosen, and shows it.
 * @param {{ jwt?: string, expiresIn?: number, signal?: AbortSignal }} [options]
 */
async function mint({ jwt: bearer = jwt.value.trim(), ...options } = {}) {
  const request = requestFor(choice);
  progress.asked(claims(bearer), choice);
  try {
    const token = await requestToken(request.path, bearer, { ...request, ...options, fetch: observe });
    report(token);
    progress.minted(token, request, answer);
    return token;
  } catch (error) {
    if (error instanceof TokenError) report(described(error));
    throw error;
  }
}

/** @param {unknown} content */
function report(content) {
  if (answer) logAnswer(answer.method, answer.path, answer.status, answer.ms, content);
}

/** @param {Error} error */
function described(error) {
  return { ...error, message: error.message };
}

/** What a conversation tells the page. @type {import("./demo/conversation.js").Listener} */
const listener = {
  changed: render,
  event(direction, event) {
    log.add(direction, event.type, event);
    if (direction === "received") transcript.apply(event);
    if (["session.created", "session.started"].includes(event.type)) {
      progress.opened(event.session, choice);
      arrive();
    }
  },
  failed(error) {
    notice.show(describe(error), { waits: false });
  },
  ended({ error, endedBy, call }) {
    if (error) refuse(error);
    const words = progress.ended(endedBy, call);
    if (words) transcript.note(words);
    render();
  },
};

/**
 * Shows where and why a request or a session was stopped.
 * @param {unknown} error
 * @param {{ waits?: boolean }} [options] as `Notice.show` takes them
 */
function refuse(error, options) {
  const found = describe(error, { counted: Boolean(answer?.quotas.length) });
  const refusal = progress.running ? { ...found, step: /** @type {const} */ ("session") } : found;
  if (error instanceof RealtimeError && error.closeCode) {
    log.add("refused", error.code, described(error), `close ${error.closeCode}`);
  }
  progress.refused(refusal, answer);
  notice.show(refusal, options);
}

/** @param {TokenSource} source */
function openSecret(source) {
  if (choice.access !== "webrtc") {
    conversation = new SocketConversation(choice.type, source, meters, listener);
  } else {
    const sound = new OutgoingSound();
    conversation = new TrackConversation("webrtc", new SecretLine(source, sound.stream), sound, meters, listener);
  }
  render();
}

function openCall() {
  const request = requestFor(choice);
  const sound = new OutgoingSound();
  const bearer = jwt.value.trim();
  progress.asked(claims(bearer), choice);
  const call = startCall(request.path, bearer, { ...request, microphone: sound.stream, fetch: observe });
  call.addEventListener("call", ({ detail }) => {
    report({ call: detail, sdp: "…" });
    progress.granted(detail, choice, answer);
  });
  call.addEventListener("time", ({ detail }) => progress.left(detail));
  call.addEventListener("close", ({ detail }) => {
    if (detail.error instanceof TokenError && !detail.call) report(described(detail.error));
  });
  conversation = new TrackConversation(choice.access, call, sound, meters, listener);
  render();
}

/** A session has begun: on to where it takes place. */
function arrive() {
  render();
  if (!wide.matches) byId("conversation", HTMLElement).scrollIntoView();
  else if (!text.disabled) text.focus();
  else talk.focus();
}

function start() {
  answer = null;
  conversation = null;
  notice.clear();
  log.begin();
  transcript.clear(choice.type === "live");
}

/** Shows the state that everything is in; the only place that does. */
function render() {
  const state = conversation?.state ?? "closed";
  const active = state !== "closed";
  const ready = state === "open";
  const writable = conversation?.writable ?? true;
  const listening = ready && (conversation?.listening ?? false);
  document.body.dataset.state = listening ? "listening" : state;
  const words = { connecting: "Connecting…", open: listening ? "Listening…" : "Connected", closed: "Not connected" };
  say(byId("status", HTMLElement), words[state]);
  settings.disabled = active || trying;
  trials.disabled = active || trying || waiting;
  say(connectButton, active ? "Disconnect" : "Connect");
  connectButton.setAttribute("aria-disabled", String(trying || (waiting && !active)));
  text.disabled = send.disabled = !(ready && writable);
  text.placeholder = !ready ? "Connect first" : writable ? "Type a message" : "Spoken only";
  say(byId("hint", HTMLElement), !ready ? "Connect, then type or talk." : writable ? "Type or talk." : "Talk.");
  talk.disabled = sample.disabled = !ready;
  talk.setAttribute("aria-pressed", String(listening));
  say(/** @type {HTMLElement} */ (talk.querySelector("[data-label]")), listening ? "Stop talking" : "Talk");
  const stoppable = ready && conversation?.answering;
  if (!stoppable && document.activeElement === stop) text.focus(); // hidden, it would take the focus with it
  stop.hidden = !stoppable;
  say(byId("audio-bytes", HTMLElement), heard(conversation?.audioBytes ?? 0));
}

/** @param {HTMLElement} element @param {string} words */
function say(element, words) {
  if (element.textContent !== words) element.textContent = words; // a live region repeats what is set again
}

/** @param {number} bytes */
function heard(bytes) {
  if (choice.access !== "websocket") return "Sound on a media track";
  const seconds = (bytes / BYTES_PER_SAMPLE / SAMPLE_RATE).toFixed(1);
  return bytes ? `${bytes.toLocaleString("en")} bytes of audio, ${seconds} s` : "No audio yet";
}

/** Offers the settings that what is chosen has; the models too, where another session type was chosen. */
function offer() {
  const { access, type, answers } = read();
  if (type !== form.dataset.type) {
    model.replaceChildren(...(page.models[type] ?? []).map((name) => new Option(name)));
  }
  Object.assign(form.dataset, { access, type, answers });
  for (const field of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-access], [data-types]"))) {
    const { access: ways = access, types = type, answers: wanted = answers } = field.dataset;
    const needless = type === "realtime" && wanted !== answers;
    field.hidden = !ways.split(" ").includes(access) || !types.split(" ").includes(type) || needless;
  }
  progress.begin(isCall(access) ? "Call" : "Secret");
  choice = read();
  showCode();
  render();
}

let language = "curl";

function showCode() {
  const chosen = settings.disabled ? choice : read(); // disabled fields are silent
  const { code, note } = snippet(language, chosen, { service: location.origin, jwt: jwt.value.trim() });
  byId("code", HTMLElement).textContent = code;
  byId("code-note", HTMLElement).textContent = note;
}

function showClaims() {
  const found = claims(jwt.value);
  const minutes = found && Math.round((found.exp - Date.now() / 1000) / 60);
  byId("claims", HTMLElement).textContent = found
    ? `${found.sub}${found.tier ? `, tier ${found.tier}` : ""}, ` +
      (minutes !== null && minutes > 0 ? `${minutes} min left` : "expired")
    : "no JWT, so the service will refuse it";
  if (admin && found) admin.user = String(found.sub ?? "");
}

/** @returns {Promise<string>} a JWT of somebody new */
async function another() {
  const response = await fetch("/demo/jwt", { method: "POST" });
  return (await response.json()).jwt;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (connectButton.getAttribute("aria-disabled") === "true") return;
  if (conversation && conversation.state !== "closed") return conversation.close();
  choice = read();
  start();
  if (isCall(choice.access)) openCall();
  else openSecret(({ signal }) => mint({ signal }));
});

// The second click of a double click would take back the first.
connectButton.addEventListener("click", (event) => event.detail > 1 && event.preventDefault());

form.addEventListener("change", offer);

jwt.addEventListener("input", () => {
  showClaims();
  showCode();
});

byId("sign-in", HTMLButtonElement).addEventListener("click", async () => {
  jwt.value = await another();
  showClaims();
  showCode();
  notice.clear();
});

trials.addEventListener("click", async ({ target }) => {
  const experiment = experiments[/** @type {HTMLElement} */ (target).dataset.trial ?? ""];
  if (!experiment) return;
  choice = read();
  trying = true;
  const choose = (/** @type {Partial<Choice>} */ change) => {
    choice = { ...choice, ...change };
    if (choice.type !== read().type && !change.model) choice.model = page.models[choice.type]?.[0] ?? "";
    start();
    render();
  };
  try {
    await experiment({ mint, open: openSecret, choose, call: openCall, jwt: () => jwt.value, another });
  } catch (error) {
    refuse(error, { waits: false }); // the limit that was met is another user's
  } finally {
    trying = false;
    render();
  }
});

byId("composer", HTMLFormElement).addEventListener("submit", (event) => {
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
    listener.failed(error);
  }
});

sample.addEventListener("click", () => {
  transcript.startParagraph();
  conversation?.sendSample();
});

stop.addEventListener("click", () => conversation?.stop());

addEventListener("keydown", ({ key }) => {
  if (key === "Escape") conversation?.stop();
});

/** A phone has the button beside the status, always in sight. */
function placeConnect() {
  byId(wide.matches ? "connect-place" : "session-bar", HTMLElement).append(connectButton);
}

wide.addEventListener("change", placeConnect);

tabs(byId("views", HTMLElement), () => admin?.watch());
tabs(byId("languages", HTMLElement), (name) => {
  language = name;
  showCode();
});
byId("copy-snippet", HTMLButtonElement).addEventListener("click", ({ currentTarget }) => {
  void copy(/** @type {HTMLButtonElement} */ (currentTarget), byId("code", HTMLElement).textContent ?? "");
});
byId("clear-events", HTMLButtonElement).addEventListener("click", () => log.clear());
byId("filter", HTMLInputElement).addEventListener("input", ({ target }) => {
  log.filter = /** @type {HTMLInputElement} */ (target).value;
});

placeConnect();
showClaims();
offer();
connectButton.disabled = false; // before this script ran, the browser itself would have sent the form
