// A browser in the beta: everything by subprotocol, the beta's own last, then one response in text.
const socket = new WebSocket(`${REALTIME_URL}?model=gpt-4o-realtime-preview-2024-12-17`, [
  "realtime",
  `openai-insecure-api-key.${OPENAI_API_KEY}`,
  `openai-organization.${OPENAI_ORG_ID}`,
  `openai-project.${OPENAI_PROJECT_ID}`,
  "openai-beta.realtime-v1",
]);

socket.addEventListener("open", () => {
  console.log(`subprotocol: ${socket.protocol}`);
  const response = { modalities: ["text"], instructions: "Help the user along." };
  socket.send(JSON.stringify({ type: "response.create", response }));
});

socket.addEventListener("message", ({ data }) => {
  const { type } = JSON.parse(data);
  console.log(type);
  if (["response.done", "error"].includes(type)) socket.close();
});
