// Provokes refusals, and prints each as the SDK's own exception.
import OpenAI from "openai";

const { JWT, TOKEN_SERVICE } = process.env;
const service = new OpenAI({ baseURL: `${TOKEN_SERVICE}/v1`, apiKey: JWT, maxRetries: 0 });
const session = { type: "realtime", model: "gpt-realtime-2.1" };

const refused = [
  [service.withOptions({ apiKey: "not-a-jwt" }), { session }],
  [service, { session: { ...session, model: "gpt-realtime" } }],
  [service, { session: { ...session, output_modalities: ["smell"] } }],
  [service, { session, unheard_of: 1 }],
];

for (const [client, body] of refused) {
  await client.realtime.clientSecrets.create(body).catch((error) => {
    console.log(error.constructor.name, error.status, error.code, error.param);
  });
}
