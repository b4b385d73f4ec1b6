// @ts-check
import { connect } from "../realtime.js";
import { tamper } from "./jwt.js";

/** @typedef {import("../realtime.js").Token} Token */
/** @typedef {import("../realtime.js").TokenSource} TokenSource */
/** @typedef {import("./choices.js").Choice} Choice */

/**
 * What an experiment works with.
 * @typedef {object} Bench
 * @property {(options?: { jwt?: string, expiresIn?: number }) => Promise<Token>} mint
 * @property {(source: TokenSource) => void} open shows a session, or why there is none
 * @property {(change: Partial<Choice>) => void} choose in the place of what the form says
 * @property {() => void} call opens the call that is chosen
 * @property {() => string} jwt
 * @property {() => Promise<string>} another a JWT of another user
 */

const SHORTEST_LIFE_SECONDS = 10;
const SHORTEST_CALL_SECONDS = 30;
/** Time for the vendor's clock to pass the end as well. */
const MARGIN_SECONDS = 1;

/**
 * Refusals and endings on purpose, by the name of their button.
 * @type {Record<string, (bench: Bench) => Promise<void>>}
 */
export const experiments = {
  async token({ choose, mint, jwt }) {
    choose({ access: "websocket", type: "realtime" });
    await mint({ jwt: tamper(jwt()) });
  },

  async model({ choose, mint }) {
    choose({ access: "websocket", type: "realtime", model: "gpt-of-somebody-else" });
    await mint();
  },

  async used({ choose, mint, open }) {
    choose({ access: "websocket", type: "realtime" });
    const token = await mint();
    const first = connect(token);
    await first.ready;
    first.close();
    open(token);
  },

  async expired({ choose, mint, open }) {
    choose({ access: "websocket", type: "realtime" });
    const token = await mint({ expiresIn: SHORTEST_LIFE_SECONDS });
    const end = (token.expires_at + MARGIN_SECONDS) * 1000;
    await new Promise((resolve) => setTimeout(resolve, end - Date.now()));
    open(token);
  },

  async limited({ choose, mint, another }) {
    choose({ access: "websocket", type: "realtime" });
    const jwt = await another(); // or the visitor would be locked out
    for (;;) await mint({ jwt });
  },

  async deadline({ choose, call }) {
    choose({ access: "live", type: "live", maxSeconds: SHORTEST_CALL_SECONDS });
    call();
  },
};
