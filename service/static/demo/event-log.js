// @ts-check
import { byteLength } from "./pcm.js";

/** @typedef {"sent" | "received" | "token" | "refused"} Direction */

const ARROWS = { sent: "↑", received: "↓", token: "◆", refused: "✕" };
const SPOKEN = { sent: "sent", received: "received", token: "from the token service", refused: "refused" };
/** Older entries are dropped: a spoken minute brings over a thousand. */
const MAX_ENTRIES = 1000;
/** Base64 longer than this is told by its size: nobody reads it. */
const MAX_AUDIO_CHARACTERS = 48;

/** Every event of the session, each with its JSON to unfold. */
export class EventLog {
  #list;
  #count;
  #total = 0;
  #began = performance.now();

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} count
   */
  constructor(list, count) {
    this.#list = list;
    this.#count = count;
  }

  /**
   * @param {Direction} direction
   * @param {string} name
   * @param {unknown} content
   */
  add(direction, name, content) {
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 40;
    this.#list.append(this.#entry(direction, name, content));
    if (this.#list.childElementCount > MAX_ENTRIES) this.#list.firstElementChild?.remove();
    this.#count.textContent = String(++this.#total);
    if (atEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  clear() {
    this.#list.replaceChildren();
    this.#total = 0;
    this.#count.textContent = "0";
  }

  /**
   * @param {Direction} direction
   * @param {string} name
   * @param {unknown} content
   */
  #entry(direction, name, content) {
    const item = document.createElement("li");
    item.dataset.direction = direction;
    item.toggleAttribute("data-audio", /audio(_buffer)?\.(delta|append)$/.test(name));
    const details = document.createElement("details");
    const seconds = ((performance.now() - this.#began) / 1000).toFixed(2);
    details.append(summary([
      ["arrow", ARROWS[direction], SPOKEN[direction]],
      ["name", name],
      ["time", `${seconds} s`],
    ]));
    // Most entries are never unfolded, so most are never rendered.
    details.addEventListener("toggle", () => details.append(json(content)), { once: true });
    item.append(details);
    return item;
  }
}

/** @param {[className: string, text: string, spoken?: string][]} parts */
function summary(parts) {
  const element = document.createElement("summary");
  for (const [className, text, spoken] of parts) {
    const part = document.createElement("span");
    part.className = className;
    part.textContent = text;
    if (spoken) {
      part.setAttribute("role", "img");
      part.setAttribute("aria-label", spoken);
    }
    element.append(part);
  }
  return element;
}

/** @param {unknown} content */
function json(content) {
  const element = document.createElement("pre");
  element.tabIndex = 0;
  element.setAttribute("role", "region");
  element.setAttribute("aria-label", "JSON");
  element.textContent = JSON.stringify(content, printable, 2);
  return element;
}

/**
 * @param {string} key
 * @param {unknown} value
 */
function printable(key, value) {
  if (typeof value !== "string") return value;
  if (["delta", "audio"].includes(key) && value.length > MAX_AUDIO_CHARACTERS && /^[\w+/]+=*$/.test(value)) {
    return `${value.slice(0, 16)}… (${byteLength(value).toLocaleString("en")} bytes of audio)`;
  }
  return value.replace(/ek_[\w-]+/g, maskSecret);
}

/** @param {string} secret */
export function maskSecret(secret) {
  return `${secret.slice(0, 6)}…`;
}
