// @ts-check
import { countdown } from "./countdown.js";

/** @typedef {import("./refusals.js").Refusal} Refusal */

/** Says why something was refused, and where that is known, counts the seconds until it may be tried again. */
export class Notice {
  #box;
  #onWaiting;
  #stop = () => {};

  /**
   * @param {HTMLElement} box has `role=alert`
   * @param {(waiting: boolean) => void} onWaiting
   */
  constructor(box, onWaiting) {
    this.#box = box;
    this.#onWaiting = onWaiting;
  }

  clear() {
    this.#stop();
    this.#box.replaceChildren();
    this.#box.hidden = true;
    this.#onWaiting(false);
  }

  /** @param {Refusal} refusal */
  show({ title, words, code, retryAfter }) {
    this.clear();
    this.#box.hidden = false;
    this.#box.append(element("strong", title), element("p", words), element("code", code));
    if (retryAfter) this.#count(retryAfter);
    this.#box.scrollIntoView({ block: "nearest" });
  }

  /** @param {number} seconds */
  #count(seconds) {
    const clock = element("p", "");
    clock.className = "retry";
    // A timer is quiet: the alert has been read out once, and is not with every second.
    clock.setAttribute("role", "timer");
    clock.setAttribute("aria-live", "off");
    this.#box.append(clock);
    this.#onWaiting(true);
    this.#stop = countdown(Date.now() + seconds * 1000, (left) => {
      clock.textContent = left ? `Try again in ${left} s` : "You can try again now.";
      if (!left) this.#onWaiting(false);
    });
  }
}

/**
 * @param {string} name
 * @param {string} text
 */
function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
