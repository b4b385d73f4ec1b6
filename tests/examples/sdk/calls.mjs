// Opens and ends a Live session and a Realtime call, with nothing but a base URL and a JWT.
import OpenAI from "openai";

const { JWT, TOKEN_SERVICE, OFFER } = process.env;
const service = new OpenAI({ baseURL: `${TOKEN_SERVICE}/v1`, apiKey: JWT });

const { session, transport } = await service.live.create({
  session: { model: "gpt-live-1.1", instructions: "Be brief." },
  transport: { type: "webrtc", sdp: OFFER },
});
console.log(session.id, transport.sdp.startsWith("v=0\r\n"));
await service.live.sessions.hangup(session.id);

const answer = await service.realtime.calls.create({
  sdp: OFFER,
  session: { type: "realtime", model: "gpt-realtime-2.1" },
});
const id = answer.headers.get("location").split("/").pop();
console.log(id, (await answer.text()).startsWith("v=0\r\n"));
await service.realtime.calls.hangup(id);

await service.live
  .create({ session: { model: "gpt-live-9" }, transport: { type: "webrtc", sdp: OFFER } })
  .catch((error) => console.log(error.constructor.name, error.status, error.code));
