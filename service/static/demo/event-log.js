// @ts-check
import { copy, make } from "./dom.js";
import { byteLength } from "./pcm.js";

/** @typedef {"sent" | "received" | "answered" | "refused"} Direction */

const ARROWS = { sent: "↑", received: "↓", answered: "◆", refused: "✕" };
const SPOKEN = { sent: "sent", received: "received", answered: "answered by the service", refused: "refused" };
/** Older entries are dropped: a spoken minute brings over a thousand events. */
const MAX_ENTRIES = 500;
/** Of a run, as many of the newest events are kept. */
const MAX_RUN = 40;
/** Base64 longer than this is told by its size: nobody reads it. */
const MAX_AUDIO_CHARACTERS = 48;

/** @typedef {{ direction: Direction, name: string, contents: unknown[], count: number }} Run */

/**
 * Every request and event of the session, each with its JSON to unfold. Equal ones in a row are one entry. The list is
 * one tab stop: arrow keys move in it, Enter unfolds, C copies.
 */
export class EventLog {
  #list;
  #count;
  #total = 0;
  #began = performance.now();
  #filter = "";
  /** @type {WeakMap<HTMLElement, Run>} */
  #runs = new WeakMap();

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} count
   */
  constructor(list, count) {
    this.#list = list;
    this.#count = count;
    list.addEventListener("click", (event) => this.#clicked(/** @type {HTMLElement} */ (event.target)));
    list.addEventListener("keydown", (event) => this.#pressed(event));
    list.addEventListener("focusin", ({ target }) => this.#makeStop(/** @type {HTMLElement} */ (target)));
  }

  /** Times are told from here on. */
  begin() {
    this.#began = performance.now();
  }

  /**
   * @param {Direction} direction
   * @param {string} name
   * @param {unknown} content
   * @param {string} [figures] in the place of the time: of a request, its status and duration
   */
  add(direction, name, content, figures = `${((performance.now() - this.#began) / 1000).toFixed(2)} s`) {
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 40;
    this.#count.textContent = String(++this.#total);
    const running = this.#running(direction, name);
    if (running) this.#extend(running, compact(content), figures);
    else this.#append({ direction, name, contents: [compact(content)], count: 1 }, figures);
    if (atEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** @param {string} text shows the entries whose name holds it */
  set filter(text) {
    this.#filter = text.trim().toLowerCase();
    for (const item of this.#list.children) this.#show(/** @type {HTMLElement} */ (item));
    this.#makeStop(this.#headers()[0]);
  }

  clear() {
    this.#list.replaceChildren();
    this.#total = 0;
    this.#count.textContent = "0";
  }

  /**
   * @param {Run} run
   * @param {string} figures
   */
  #append(run, figures) {
    const header = make("button", { type: "button", "aria-expanded": "false", tabindex: -1 },
      make("span", { class: "arrow", role: "img", "aria-label": SPOKEN[run.direction] }, ARROWS[run.direction]),
      make("span", { class: "name" }, ...breakable(run.name)),
      make("span", { class: "times" }),
      make("span", { class: "figures" }, figures));
    const item = make("li", { "data-direction": run.direction, "data-name": run.name, "data-count": 1 }, header);
    this.#runs.set(item, run);
    this.#show(item);
    this.#list.append(item);
    if (this.#list.childElementCount > MAX_ENTRIES) this.#list.firstElementChild?.remove();
    if (!this.#list.querySelector('button[tabindex="0"]')) this.#makeStop(header);
  }

  /**
   * The entry that another event of this name goes on; deltas of sound and of its words take turns.
   *
   * @param {Direction} direction
   * @param {string} name
   * @returns {HTMLElement | undefined}
   */
  #running(direction, name) {
    const last = this.#list.lastElementChild;
    const before = /\.delta$/.test(name) ? last?.previousElementSibling : null;
    const others = before && this.#runs.get(/** @type {HTMLElement} */ (last))?.name.endsWith(".delta") ? [before] : [];
    return /** @type {HTMLElement[]} */ ([last, ...others]).find((item) => {
      const run = item && this.#runs.get(item);
      return run && run.direction === direction && run.name === name;
    });
  }

  /**
   * @param {HTMLElement} item
   * @param {unknown} content
   * @param {string} figures
   */
  #extend(item, content, figures) {
    const run = /** @type {Run} */ (this.#runs.get(item));
    run.contents.push(content);
    if (run.contents.length > MAX_RUN) run.contents.shift();
    item.dataset.count = String(++run.count);
    /** @type {HTMLElement} */ (item.querySelector(".times")).textContent = `× ${run.count}`;
    /** @type {HTMLElement} */ (item.querySelector(".figures")).textContent = figures;
  }

  /** @param {HTMLElement} item */
  #show(item) {
    item.hidden = !this.#runs.get(item)?.name.toLowerCase().includes(this.#filter);
  }

  #headers() {
    return /** @type {HTMLElement[]} */ ([...this.#list.querySelectorAll("li:not([hidden]) > button")]);
  }

  /** @param {HTMLElement | undefined} target what Tab comes to from now on */
  #makeStop(target) {
    const header = target?.closest("li")?.querySelector("button");
    if (!header) return;
    for (const other of this.#list.querySelectorAll('li > button[tabindex="0"]')) other.setAttribute("tabindex", "-1");
    header.setAttribute("tabindex", "0");
  }

  /** @param {HTMLElement} target */
  #clicked(target) {
    const item = target.closest("li");
    if (!item) return;
    if (target.closest("[data-copy]")) this.#copy(item);
    else if (target.closest("button")) this.#toggle(item);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const item = /** @type {HTMLElement} */ (event.target).closest("li");
    const header = item?.querySelector("button");
    if (!item || !header || event.ctrlKey || event.metaKey || event.altKey) return;
    const headers = this.#headers();
    const at = headers.indexOf(header);
    /** @type {Record<string, number>} */
    const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: headers.length - 1 };
    const open = header.getAttribute("aria-expanded") === "true";
    if (event.key in steps) headers[steps[event.key]]?.focus();
    else if ((event.key === "ArrowRight" && !open) || (event.key === "ArrowLeft" && open)) this.#toggle(item);
    else if (event.key.toLowerCase() === "c") this.#copy(item);
    else return;
    event.preventDefault();
  }

  /** @param {HTMLElement} item */
  #toggle(item) {
    const header = /** @type {HTMLElement} */ (item.querySelector("button"));
    const open = header.getAttribute("aria-expanded") === "true";
    header.setAttribute("aria-expanded", String(!open));
    item.querySelector(".content")?.remove();
    if (open) return;
    item.append(make("div", { class: "content" },
      make("button", { type: "button", "data-copy": true, tabindex: -1, class: "quiet" }, "Copy JSON"),
      make("pre", {}, this.#json(item))));
    item.scrollIntoView({ block: "nearest" });
  }

  /** @param {HTMLElement} item */
  #json(item) {
    const { contents = [], count = 0 } = this.#runs.get(item) ?? {};
    if (count === 1) return JSON.stringify(contents[0], null, 2);
    const left = count > contents.length ? `// the newest ${contents.length} of ${count}\n` : "";
    return left + contents.map((content) => JSON.stringify(content, null, 2)).join("\n");
  }

  /** @param {HTMLElement} item */
  #copy(item) {
    if (!item.querySelector(".content")) this.#toggle(item);
    void copy(/** @type {HTMLButtonElement} */ (item.querySelector("[data-copy]")), this.#json(item));
  }
}

/**
 * The same content without secrets, and with audio told by its size.
 * @param {any} value
 * @param {string} [key]
 * @returns {any}
 */
function compact(value, key = "") {
  if (typeof value === "string") {
    if (["delta", "audio"].includes(key) && value.length > MAX_AUDIO_CHARACTERS && /^[\w+/]+=*$/.test(value)) {
      return `${value.slice(0, 16)}… (${byteLength(value).toLocaleString("en")} bytes of audio)`;
    }
    return value.replace(/ek_[\w-]+/g, maskSecret);
  }
  if (Array.isArray(value)) return value.map((member) => compact(member, key));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, compact(member, name)]));
}

/**
 * A long name, with places where a narrow screen may break it.
 * @param {string} name
 */
function breakable(name) {
  return name.split(/(?<=[./_])/).flatMap((part) => [part, make("wbr")]);
}

/** @param {string} secret */
export function maskSecret(secret) {
  return `${secret.slice(0, 6)}…`;
}
