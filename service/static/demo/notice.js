// @ts-check
import { countdown } from "./countdown.js";
import { make } from "./dom.js";

/** @typedef {import("./refusals.js").Refusal} Refusal */

/** Says why something was refused and how to fix it, and counts the seconds until it may be tried again. */
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

  /**
   * @param {Refusal} refusal
   * @param {{ waits?: boolean }} [options] `waits`: the page must not ask again before `retryAfter` has passed
   */
  show({ title, words, fix, code, param, requestId, retryAfter }, { waits = true } = {}) {
    this.clear();
    const details = [code, param && `param ${param}`, requestId && `request ${requestId}`].filter(Boolean).join(" · ");
    this.#box.append(
      make("strong", {}, title),
      words ? make("p", {}, words) : "",
      fix ? make("p", { class: "fix" }, fix) : "",
      make("code", {}, details),
    );
    this.#box.hidden = false;
    if (retryAfter) this.#count(retryAfter, waits);
    this.#box.scrollIntoView({ block: "nearest" });
  }

  /**
   * @param {number} seconds
   * @param {boolean} waits
   */
  #count(seconds, waits) {
    // A timer is quiet: the alert has been read out once, and is not with every second.
    const clock = make("p", { class: "retry", role: "timer", "aria-live": "off" });
    this.#box.append(clock);
    this.#onWaiting(waits);
    this.#stop = countdown(Date.now() + seconds * 1000, (left) => {
      clock.textContent = left ? `Try again in ${left} s` : "You can try again now.";
      if (!left) this.#onWaiting(false);
    });
  }
}
