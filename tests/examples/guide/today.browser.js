// A browser today: everything by subprotocol, then one response in text.
const socket = new WebSocket(`${REALTIME_URL}?model=gpt-realtime-2.1`, [
  "realtime",
  `openai-insecure-api-key.${OPENAI_API_KEY}`,
  `openai-organization.${OPENAI_ORG_ID}`,
  `openai-project.${OPENAI_PROJECT_ID}`,
]);

socket.addEventListener("open", () => {
  console.log(`subprotocol: ${socket.protocol}`);
  const response = { output_modalities: ["text"], instructions: "Help the user along." };
  socket.send(JSON.stringify({ type: "response.create", response }));
});

socket.addEventListener("message", ({ data }) => {
  const { type } = JSON.parse(data);
  console.log(type);
  if (["response.done", "error"].includes(type)) socket.close();
});
