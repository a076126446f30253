// Why something cannot be done, as the service says it, and what to do.

import { visible } from "../core/text.js";
import type { Problem } from "./service.js";

export function ProblemBox({ problem, alert = false }: { problem: Problem; alert?: boolean }) {
  return (
    <div class="problem" role={alert ? "alert" : undefined}>
      <strong>{visible(problem.title)}</strong>
      <p dir="auto">{visible(problem.detail)}</p>
      {problem.errors.length > 0 && (
        <ul>
          {problem.errors.map(({ pointer, detail }) => (
            <li dir="auto">{visible(pointer ? `${pointer}: ${detail}` : detail)}</li>
          ))}
        </ul>
      )}
      {problem.instance !== "" && (
        <p class="quiet">
          In the server's log: <code>{visible(problem.instance.replace("urn:uuid:", ""))}</code>
        </p>
      )}
    </div>
  );
}
