// @ts-check
import { make } from "./dom.js";

/** @typedef {import("./refusals.js").Step} Step */
/** @typedef {import("./refusals.js").Refusal} Refusal */
/** @typedef {[term: string, value: string][]} Facts */

/** @type {readonly Step[]} */
const ORDER = ["jwt", "policy", "limit", "vendor", "grant", "session"];
const SPOKEN = { idle: "not reached", active: "under way", passed: "passed", refused: "refused here", ended: "ended" };

/** The steps of a request through the service: what each made of it, or where it was stopped. */
export class Pipeline {
  #list;

  /** @param {HTMLElement} list holds one item for each step, with `data-step` */
  constructor(list) {
    this.#list = list;
  }

  /**
   * Starts anew.
   * @param {"Secret" | "Call"} grant what stands at the end of the service's work
   */
  begin(grant) {
    for (const step of ORDER) this.#set(step, "idle", "", []);
    this.#part("grant", ".step-name").textContent = grant;
  }

  /**
   * @param {Step} step
   * @param {string} headline
   * @param {Facts} [facts]
   */
  wait(step, headline, facts) {
    this.#set(step, "active", headline, facts);
  }

  /**
   * @param {Step} step
   * @param {string} headline
   * @param {Facts} [facts]
   */
  pass(step, headline, facts) {
    this.#set(step, "passed", headline, facts);
  }

  /**
   * A session or a call is over, and nobody was refused.
   * @param {Step} step
   * @param {string} headline
   * @param {Facts} [facts]
   */
  end(step, headline, facts) {
    this.#set(step, "ended", headline, facts);
  }

  /**
   * Changes the words of a step, and nothing else: a clock that runs.
   * @param {Step} step
   * @param {string} headline
   */
  say(step, headline) {
    this.#part(step, ".headline").textContent = headline;
  }

  /** @param {Step} step */
  headline(step) {
    return this.#part(step, ".headline").textContent ?? "";
  }

  /**
   * Stops at a step. Those before it were passed, those behind it were not reached.
   * @param {Refusal} refusal
   */
  refuse({ step, title, code }) {
    const at = ORDER.indexOf(step);
    ORDER.forEach((name, index) => {
      if (index < at && this.#state(name) !== "passed") this.#set(name, "passed", this.headline(name) || "Passed");
      if (index > at) this.#set(name, "idle", "", []);
    });
    this.#set(step, "refused", title, [["Code", code]]);
  }

  /** @param {Step} step */
  #state(step) {
    return this.#item(step).dataset.state;
  }

  /** @param {Step} step */
  #item(step) {
    return /** @type {HTMLElement} */ (this.#list.querySelector(`[data-step="${step}"]`));
  }

  /**
   * @param {Step} step
   * @param {string} selector
   */
  #part(step, selector) {
    return /** @type {HTMLElement} */ (this.#item(step).querySelector(selector));
  }

  /**
   * @param {Step} step
   * @param {keyof typeof SPOKEN} state
   * @param {string} headline
   * @param {Facts} [facts] left as they are where none are given
   */
  #set(step, state, headline, facts) {
    this.#item(step).dataset.state = state;
    this.#part(step, ".state").textContent = SPOKEN[state];
    this.#part(step, ".headline").textContent = headline;
    if (!facts) return;
    const rows = facts.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value)));
    this.#part(step, "dl").replaceChildren(...rows);
  }
}
