// Mints and opens a session of each type, and prints how each one ended.
import { once } from "node:events";
import OpenAI from "openai";
import { OpenAIRealtimeTranslationWS } from "openai/realtime/translations/ws";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const { JWT, TOKEN_SERVICE } = process.env;
const { clientSecrets, translations } = new OpenAI({ baseURL: `${TOKEN_SERVICE}/v1`, apiKey: JWT }).realtime;
const holder = ({ value }) => new OpenAI({ apiKey: value });
const audio = Buffer.alloc(96_000, "\x00\x30", "latin1").toString("base64");

/** What a session's listeners are told under one name, once. */
const told = (session, type) =>
  new Promise((resolve, reject) => {
    session.on(type, resolve);
    session.on("error", reject);
  });

async function converse() {
  const model = "gpt-realtime-2.1";
  const session = new OpenAIRealtimeWS(
    { model },
    holder(await clientSecrets.create({ session: { type: "realtime", model } })),
  );
  await once(session.socket, "open");
  session.send({ type: "response.create", response: { output_modalities: ["text"] } });
  const { response } = await told(session, "response.done");
  session.close();
  return response.status;
}

async function transcribe() {
  const transcription = { model: "gpt-live-transcribe" };
  const session = new OpenAIRealtimeWS(
    { intent: "transcription" },
    holder(
      await clientSecrets.create({ session: { type: "transcription", audio: { input: { transcription } } } }),
    ),
  );
  await once(session.socket, "open");
  session.send({ type: "input_audio_buffer.append", audio });
  session.send({ type: "input_audio_buffer.commit" });
  const { transcript } = await told(session, "conversation.item.input_audio_transcription.completed");
  session.close();
  return transcript;
}

async function translate() {
  const model = "gpt-realtime-translate";
  const secret = await translations.clientSecrets.create({
    session: { model, audio: { output: { language: "es" } } },
  });
  const session = await OpenAIRealtimeTranslationWS.create(holder(secret), { model });
  let transcript = "";
  session.on("session.output_transcript.delta", ({ delta }) => (transcript += delta));
  await told(session, "session.created");
  session.send({ type: "session.input_audio_buffer.append", audio });
  await session.finish({ timeoutMs: 15_000 });
  return transcript;
}

console.log(JSON.stringify([await converse(), await transcribe(), await translate()]));
