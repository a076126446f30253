// The button that starts it, the progress, and the button that stops it.

import { useEffect, useRef } from "preact/hooks";
import { ProblemBox } from "./problem.js";
import type { Step } from "./service.js";
import { STAGES } from "./words.js";
import type { Page } from "./work.js";

export function Running({ page }: { page: Page }) {
  const work = page.work.value;
  const running = work.stage === "running";
  const start = useRef<HTMLButtonElement>(null);
  const stop = useRef<HTMLButtonElement>(null);
  const stage = page.shown.value === null ? work.stage : "elsewhere";
  const before = useRef(stage);
  useEffect(() => {
    // What was pressed is gone: what stands in its place has the focus.
    if (running) stop.current?.focus();
    else if (before.current !== stage) start.current?.focus();
    before.current = stage;
  }, [stage]);
  return (
    <section aria-label="Explain" class="running">
      {running ? (
        <>
          <Progress step={work.step} />
          <button type="button" ref={stop} onClick={page.cancel}>
            Cancel
          </button>
        </>
      ) : (
        <button type="button" class="main" ref={start} disabled={page.form.request.value === null} onClick={() => void page.run()}>
          Explain
        </button>
      )}
      <div aria-live="polite">
        {work.stage === "running" && <span class="unseen">{stageOf(work.step)}</span>}
        {work.stage === "done" && (
          <p>
            Explained. <a href={`#explanation=${work.id}`}>See the explanation</a>
          </p>
        )}
        {work.stage === "cancelled" && <p>Cancelled. The model was stopped; what it had done is lost.</p>}
      </div>
      {work.stage === "failed" && <ProblemBox problem={work.problem} alert />}
    </section>
  );
}

function Progress({ step }: { step: Step | null }) {
  const total = step?.total ?? 0;
  const known = step !== null && total > 1;
  return (
    <div class="progress">
      <progress aria-label="Progress" {...(known ? { max: total, value: step.done } : {})} />
      <span>
        {stageOf(step)}
        {known && `: ${step.done.toLocaleString("en")} of at most ${total.toLocaleString("en")}`}
      </span>
    </div>
  );
}

function stageOf(step: Step | null): string {
  return step === null ? "Waiting for its turn" : (STAGES[step.stage] ?? step.stage);
}
