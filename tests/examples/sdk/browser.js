// Mints from another origin, is refused the second time, and talks with what the first answer held.
import OpenAI, { RateLimitError } from "openai";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";

const model = "gpt-realtime-2.1";
const options = { baseURL: `${TOKEN_SERVICE}/v1`, apiKey: JWT, dangerouslyAllowBrowser: true, maxRetries: 0 };
const { clientSecrets } = new OpenAI(options).realtime;

const secret = await clientSecrets.create({ session: { type: "realtime", model } });
const refusal = await clientSecrets.create({ session: { type: "realtime", model } }).catch((error) => error);
console.log(refusal instanceof RateLimitError, refusal.code, Number(refusal.headers.get("Retry-After")) > 0);

const client = new OpenAI({ baseURL: OPENAI_BASE_URL, apiKey: secret.value, dangerouslyAllowBrowser: true });
const session = new OpenAIRealtimeWebSocket({ model }, client);
session.socket.addEventListener("open", () => {
  session.send({ type: "response.create", response: { output_modalities: ["text"] } });
});
session.on("response.done", ({ response }) => {
  console.log(response.status, response.output[0].content[0].text);
  session.close();
});
