// @ts-check
import { make } from "./dom.js";

/** @typedef {import("./refusals.js").Station} Station */
/** @typedef {import("./refusals.js").Refusal} Refusal */
/** @typedef {[term: string, value: string][]} Facts */

/** @type {readonly Station[]} */
const ORDER = ["jwt", "policy", "limit", "vendor", "grant", "session"];
const SPOKEN = { idle: "not reached", active: "under way", passed: "passed", refused: "refused here", ended: "ended" };

/** The way of a request through the service: what each station made of it, or where it was stopped. */
export class Pipeline {
  #list;

  /** @param {HTMLElement} list holds one item for each station, with `data-station` */
  constructor(list) {
    this.#list = list;
  }

  /**
   * Starts anew.
   * @param {"Secret" | "Call"} grant what stands at the end of the service's work
   */
  begin(grant) {
    for (const station of ORDER) this.#set(station, "idle", "", []);
    this.#part("grant", ".station-name").textContent = grant;
  }

  /**
   * @param {Station} station
   * @param {string} headline
   * @param {Facts} [facts]
   */
  wait(station, headline, facts) {
    this.#set(station, "active", headline, facts);
  }

  /**
   * @param {Station} station
   * @param {string} headline
   * @param {Facts} [facts]
   */
  pass(station, headline, facts) {
    this.#set(station, "passed", headline, facts);
  }

  /**
   * A session or a call is over, and nobody was refused.
   * @param {Station} station
   * @param {string} headline
   * @param {Facts} [facts]
   */
  end(station, headline, facts) {
    this.#set(station, "ended", headline, facts);
  }

  /**
   * Changes the words of a station, and nothing else: a clock that runs.
   * @param {Station} station
   * @param {string} headline
   */
  say(station, headline) {
    this.#part(station, ".headline").textContent = headline;
  }

  /** @param {Station} station */
  headline(station) {
    return this.#part(station, ".headline").textContent ?? "";
  }

  /**
   * Stops at a station. Those before it were passed, those behind it were not reached.
   * @param {Refusal} refusal
   */
  refuse({ station, title, code }) {
    const at = ORDER.indexOf(station);
    ORDER.forEach((name, index) => {
      if (index < at && this.#state(name) !== "passed") this.#set(name, "passed", this.headline(name) || "Passed");
      if (index > at) this.#set(name, "idle", "", []);
    });
    this.#set(station, "refused", title, [["Code", code]]);
  }

  /** @param {Station} station */
  #state(station) {
    return this.#item(station).dataset.state;
  }

  /** @param {Station} station */
  #item(station) {
    return /** @type {HTMLElement} */ (this.#list.querySelector(`[data-station="${station}"]`));
  }

  /**
   * @param {Station} station
   * @param {string} selector
   */
  #part(station, selector) {
    return /** @type {HTMLElement} */ (this.#item(station).querySelector(selector));
  }

  /**
   * @param {Station} station
   * @param {keyof typeof SPOKEN} state
   * @param {string} headline
   * @param {Facts} [facts] left as they are where none are given
   */
  #set(station, state, headline, facts) {
    this.#item(station).dataset.state = state;
    this.#part(station, ".state").textContent = SPOKEN[state];
    this.#part(station, ".headline").textContent = headline;
    if (!facts) return;
    const rows = facts.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value)));
    this.#part(station, "dl").replaceChildren(...rows);
  }
}
