import { useConversation } from "./useConversation";

export function App() {
  const { state, said, problem, secondsLeft, talk, call, end } = useConversation();
  return (
    <main>
      <h1>Realtime in React</h1>
      <button onClick={talk} disabled={state !== "idle"}>
        Talk by a secret
      </button>
      <button onClick={call} disabled={state !== "idle"}>
        Call
      </button>
      <button onClick={end} disabled={state === "idle"}>
        End
      </button>
      <p role="status">
        {state}
        {secondsLeft !== null && `, ${secondsLeft} s left`}
      </p>
      <p id="said">{said}</p>
      {problem && <p role="alert">{problem}</p>}
    </main>
  );
}
