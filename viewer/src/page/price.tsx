// What the explanation of what is typed would cost at most.

import { visible } from "../core/text.js";
import type { Form } from "./form.js";
import { ProblemBox } from "./problem.js";
import { type Plan, Problem } from "./service.js";
import { counted } from "./words.js";
import type { Page } from "./work.js";

export function PriceBox({ page }: { page: Page }) {
  const price = page.price.value;
  const work = page.work.value;
  const saidBelow = work.stage === "failed" && price instanceof Problem && work.problem.detail === price.detail;
  return (
    <section aria-labelledby="price-heading" class="price">
      <h2 id="price-heading">Price</h2>
      {price === null && <p class="quiet">{page.form.request.value === null ? missing(page.form) : "…"}</p>}
      {price === "asking" && <p class="quiet">The server is asked …</p>}
      {price instanceof Problem && (saidBelow ? <p class="quiet">None: see below.</p> : <ProblemBox problem={price} />)}
      {price !== null && price !== "asking" && !(price instanceof Problem) && <PlanBox plan={price} />}
    </section>
  );
}

function missing({ limit }: Form): string {
  return limit.value === undefined ? "Needs another limit of calls, or none." : "Needs a record and a task.";
}

function PlanBox({ plan }: { plan: Plan }) {
  const { money } = plan;
  const writing = plan.methods.reduce((rest, { calls }) => rest - calls, plan.calls);
  return (
    <>
      <p aria-live="polite">
        At most <strong>{counted(plan.calls, "call")}</strong> of the model, {counted(plan.input_tokens, "token")} read and{" "}
        {counted(plan.output_tokens, "token")} written
        {money !== null && (
          <>
            : <strong>{`${Number(money.amount.toPrecision(4))} ${visible(money.currency)}`}</strong>
          </>
        )}
        .
      </p>
      <p class="quiet">
        The prompt has {plan.counted ? "" : "about "}
        {counted(plan.prompt_tokens, "token")}, and {counted(plan.segments, "segment")} that can be traced back to.
      </p>
      <ul>
        {writing > 0 && <li>to write the output: {counted(writing, "call")}</li>}
        {plan.methods.map((own) => (
          <li>
            {own.method}: {counted(own.calls, "call")}
            {own.cut !== null && `; the limit allows ${visible(own.cut)}`}
            {own.fallbacks.map(({ method, reason }) => (
              <div class="quiet">
                passed over {method}: {visible(reason)}
              </div>
            ))}
          </li>
        ))}
      </ul>
    </>
  );
}
