// @ts-check
import { make, minutes, shorten } from "./dom.js";

const POLL_MS = 2000;

/** @typedef {import("../realtime.js").Call & { user: string, upstream_id: string | null }} AdminCall */

/** The admin's side of the demo: everybody's open calls, each to be ended, and users to be revoked. */
export class Admin {
  #panel;
  #token;
  #log;
  #calls;
  #words;
  #own = () => "";
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /**
   * @param {HTMLElement} panel
   * @param {string} token the demo's ADMIN_TOKEN
   * @param {(method: string, path: string, status: number, ms: number, body: unknown) => void} log
   * @param {() => string} own the id of the call that this page has open
   */
  constructor(panel, token, log, own) {
    this.#panel = panel;
    this.#token = token;
    this.#log = log;
    this.#own = own;
    this.#calls = /** @type {HTMLElement} */ (panel.querySelector("tbody"));
    this.#words = /** @type {HTMLElement} */ (panel.querySelector("[role=status]"));
    panel.querySelector("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#revoke(String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get("sub") ?? "").trim());
    });
    this.#calls.addEventListener("click", ({ target }) => {
      const id = /** @type {HTMLElement} */ (target).dataset.end;
      if (id) void this.#end(id);
    });
  }

  /** @param {string} sub the user that the form offers to revoke */
  set user(sub) {
    const field = this.#panel.querySelector("input");
    if (field) field.value = sub;
  }

  /** Reads the list again and again, while the panel is looked at. */
  watch() {
    clearInterval(this.#timer);
    if (this.#panel.hidden) return;
    void this.#refresh();
    this.#timer = setInterval(() => !document.hidden && this.#refresh(), POLL_MS);
  }

  async #refresh() {
    const { status, body } = await this.#ask("GET", "/admin/calls");
    if (status !== 200) return this.#say(body?.error?.message ?? `The service answered ${status || "nothing"}.`);
    const calls = /** @type {AdminCall[]} */ (body.calls);
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.end;
    this.#calls.replaceChildren(...calls.map((call) => this.#row(call)));
    if (focused) /** @type {HTMLElement | null} */ (this.#calls.querySelector(`[data-end="${focused}"]`))?.focus();
    /** @type {HTMLElement} */ (this.#panel.querySelector("table")).hidden = !calls.length;
    /** @type {HTMLElement} */ (this.#panel.querySelector(".nothing")).hidden = Boolean(calls.length);
  }

  /** @param {AdminCall} call */
  #row({ id, model, state, expires_at: expiresAt, user }) {
    const left = minutes(expiresAt - Date.now() / 1000);
    const end = make("button", { type: "button", "data-end": id, disabled: state !== "open",
      "aria-label": `End the call of ${shorten(user, 10)}` }, "End");
    return make("tr", { "data-own": id === this.#own() },
      make("td", {}, make("code", { title: user }, shorten(user, 10)), id === this.#own() ? " (you)" : ""),
      make("td", {}, model), make("td", {}, state === "open" ? left : state), make("td", {}, end));
  }

  /** @param {string} id */
  async #end(id) {
    const path = `/admin/calls/${id}`;
    const { status } = await this.#ask("DELETE", path, undefined, true);
    this.#say(status === 204 ? `${shorten(id)} is being ended.` : `The service answered ${status}.`);
    await this.#refresh();
  }

  /** @param {string} sub */
  async #revoke(sub) {
    if (!sub) return;
    const { status, body } = await this.#ask("POST", "/admin/revocations", { sub }, true);
    this.#say(status === 200
      ? `${sub} was revoked: ${body.calls} open ${body.calls === 1 ? "call is" : "calls are"} ended, and tokens issued until now are refused.`
      : (body?.error?.message ?? `The service answered ${status}.`));
    await this.#refresh();
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [content]
   * @param {boolean} [logged]
   * @returns {Promise<{ status: number, body: any }>}
   */
  async #ask(method, path, content, logged = false) {
    const began = performance.now();
    const answer = await fetch(path, {
      method,
      headers: { Authorization: `Bearer ${this.#token}`, ...(content ? { "Content-Type": "application/json" } : {}) },
      body: content ? JSON.stringify(content) : null,
    }).catch(() => null);
    const body = await answer?.json().catch(() => null);
    const status = answer?.status ?? 0;
    if (logged) this.#log(method, path, status, Math.round(performance.now() - began), body ?? {});
    return { status, body };
  }

  /** @param {string} words */
  #say(words) {
    this.#words.textContent = words;
  }
}
