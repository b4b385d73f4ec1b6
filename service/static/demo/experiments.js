// @ts-check
import { connect } from "../realtime.js";
import { tamper } from "./jwt.js";

/** @typedef {import("../realtime.js").Token} Token */
/** @typedef {import("../realtime.js").TokenSource} TokenSource */

/**
 * What an experiment works with.
 * @typedef {object} Bench
 * @property {(options?: { jwt?: string, expiresIn?: number }) => Promise<Token>} mint
 * @property {(source: TokenSource) => void} open shows a session, or why there is none
 * @property {() => void} spend shows that the secret was used
 * @property {() => string} jwt
 */

const SHORTEST_LIFE_SECONDS = 10;
/** Time for the vendor's clock to pass the end as well. */
const MARGIN_SECONDS = 1;

/**
 * Refusals on purpose, by the name of their button.
 * @type {Record<string, (bench: Bench) => Promise<void>>}
 */
export const experiments = {
  async token({ mint, jwt }) {
    await mint({ jwt: tamper(jwt()) });
  },

  async used({ mint, open, spend }) {
    const token = await mint();
    const first = connect(token);
    await first.ready;
    spend();
    first.close();
    open(token);
  },

  async expired({ mint, open }) {
    const token = await mint({ expiresIn: SHORTEST_LIFE_SECONDS });
    const end = (token.expires_at + MARGIN_SECONDS) * 1000;
    await new Promise((resolve) => setTimeout(resolve, end - Date.now()));
    open(token);
  },

  async limited({ mint }) {
    for (;;) await mint();
  },
};
