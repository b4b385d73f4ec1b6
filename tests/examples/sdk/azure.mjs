// Mints with the SDK's client for Azure, a JWT in the place of an Entra ID token, and talks with what came back.
import { once } from "node:events";
import { AzureOpenAI } from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";

const { JWT, TOKEN_SERVICE, AZURE_BASE_URL, DEPLOYMENT } = process.env;
// The client insists on a version. The service does not look at it, and none is sent to /openai/v1/realtime.
const client = (baseURL, token) =>
  new AzureOpenAI({ baseURL, azureADTokenProvider: async () => token, apiVersion: "v1", apiKey: null });
const service = client(`${TOKEN_SERVICE}/v1`, JWT);

for (const Session of [OpenAIRealtimeWS, OpenAIRealtimeWebSocket]) {
  const secret = await service.realtime.clientSecrets.create({
    session: { type: "realtime", model: "gpt-realtime-2.1" },
  });
  const session = await Session.azure(client(AZURE_BASE_URL, secret.value), { deploymentName: DEPLOYMENT });
  const done = new Promise((resolve, reject) => {
    session.on("response.done", resolve);
    session.on("error", reject);
  });
  await once(session.socket, "open");
  session.send({ type: "response.create", response: { output_modalities: ["text"] } });
  console.log((await done).response.status, session.url.searchParams.get("model"));
  session.close();
}
