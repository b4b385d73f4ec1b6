// @ts-check
import { countdown } from "./countdown.js";
import { maskSecret } from "./event-log.js";

/** @typedef {import("../realtime.js").Token} Token */

/** The secret at hand: what is left of its life, and whether it has opened its session. */
export class SecretCard {
  #card;
  #seconds;
  #bar;
  #words;
  #stop = () => {};

  /** @param {HTMLElement} card */
  constructor(card) {
    this.#card = card;
    this.#seconds = /** @type {HTMLElement} */ (card.querySelector("[data-seconds]"));
    this.#bar = /** @type {HTMLProgressElement} */ (card.querySelector("progress"));
    this.#words = /** @type {HTMLElement} */ (card.querySelector("[data-words]"));
  }

  /** @param {Token} token */
  show(token) {
    this.#stop();
    this.#card.hidden = false;
    this.#card.dataset.state = "fresh";
    this.#bar.max = Math.max(1, token.expires_at - Date.now() / 1000);
    this.#words.textContent = `${maskSecret(token.value)} may open one session until then.`;
    this.#stop = countdown(token.expires_at * 1000, (left) => {
      this.#seconds.textContent = String(left);
      this.#bar.value = left;
      if (!left) this.#expire();
    });
  }

  spend() {
    this.#card.dataset.state = "used";
    this.#words.textContent = "It has opened its one session, which goes on after the secret’s end.";
  }

  #expire() {
    if (this.#card.dataset.state === "used") return;
    this.#card.dataset.state = "expired";
    this.#words.textContent = "It has expired without opening a session.";
  }
}
