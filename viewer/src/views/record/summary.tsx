// The five strongest passages of what is chosen; of a chosen passage, the parts of the output where it counted.

import { counted, elsewhere, elsewherePercent, found, score } from "../../core/describe.js";
import { percent } from "../../core/scale.js";
import { labelled } from "../../core/text.js";
import { balance } from "../../core/top.js";
import { noun, sharesOfSegment, targetName } from "../../ui/chosen.js";
import { useViewer } from "../../ui/viewer.js";
import { quote } from "./quote.js";
import { stepsOf } from "./steps.js";

const TOP = 5;

export function Summary() {
  const { state } = useViewer();
  const choice = state.choice.value;
  return choice?.kind === "segment" ? <OfPassage segment={choice.index} /> : <OfOutput />;
}

function OfOutput() {
  const { loaded, state, chosen } = useViewer();
  const { told } = loaded.result(state.result.value);
  const { name, evidence, masked, signed } = chosen.value;
  const own = evidence === null ? null : balance(evidence, told.scores, TOP);
  const steps = stepsOf(signed, state.scale.value);
  const best = own?.top ?? strongest(masked.shares);
  const others = masked.shares.reduce((count, share) => count + (share > 0 ? 1 : 0), 0) - best.length;
  const sum = masked.shares.reduce((before, share) => before + share, 0);
  const listed = best.reduce((before, { segment }) => before + (masked.shares[segment] ?? 0), 0);
  return (
    <section class="summary" aria-labelledby="whence-summary">
      <h2 id="whence-summary">
        Strongest passages for <bdi>{name}</bdi>
      </h2>
      {best.length === 0 && <p class="quiet">{own === null ? "No passage received anything that counts." : elsewhere(own)}</p>}
      <ol>
        {best.map((ranked) => (
          <Passage
            segment={ranked.segment}
            share={masked.shares[ranked.segment] ?? 0}
            step={steps[ranked.segment] ?? 0}
            score={"score" in ranked ? score(ranked, told.scores) : ""}
          />
        ))}
      </ol>
      <ul class="rest">
        {others > 0 && (
          <li>
            <span class="share">{percent(Math.max(0, sum - listed))}</span>
            <span>{counted(others, "other passage")}</span>
          </li>
        )}
        {own !== null && masked.masked === 0 && (
          <li>
            <span class="share">{elsewherePercent(own)}</span>
            <span>elsewhere</span>
          </li>
        )}
        {(own === null || masked.masked !== 0) && (told.scores.elsewhere !== null || sum === 0) && (
          <li>
            <span class="share">{percent(masked.elsewhere)}</span>
            <span>elsewhere{masked.masked !== 0 && !state.renormalised.value ? `, and ${percent(masked.masked)} masked` : ""}</span>
          </li>
        )}
      </ul>
      {own !== null && told.scores.signed && <p class="quiet">{found(own, told.scores)}</p>}
    </section>
  );
}

function Passage({ segment, share, step, score }: { segment: number; share: number; step: number; score: string }) {
  const { loaded, state, jump, announce } = useViewer();
  const { before, text, after, source } = quote(loaded, segment);
  const name = loaded.names[source] ?? "";
  return (
    <li>
      <span class="share">{percent(share)}</span>
      <div>
        <button
          type="button"
          class="quote"
          onClick={() => {
            state.choice.value = { kind: "segment", index: segment };
            announce(`Chosen: a passage of ${name}`);
          }}
        >
          <span dir="auto" lang="">
            {before}
            <mark class={step > 0 ? `s${step}` : ""}>{text}</mark>
            {after}
          </span>
        </button>
        <p class="from">
          <button type="button" class="jump" onClick={() => (jump.value = segment)}>
            <bdi>{name}</bdi> <span aria-hidden="true">→</span>
            <span class="unseen"> show in the record</span>
          </button>
          {score !== "" && <span>{score}</span>}
        </p>
      </div>
    </li>
  );
}

function OfPassage({ segment }: { segment: number }) {
  const { loaded, state, whole, jump, announce } = useViewer();
  const shares = sharesOfSegment(loaded, whole.value, segment);
  const steps = stepsOf(shares, state.scale.value);
  const { text, source } = quote(loaded, segment);
  const best = [...shares.keys()]
    .filter((target) => shares[target] !== 0)
    .sort((one, other) => Math.abs(shares[other] ?? 0) - Math.abs(shares[one] ?? 0));
  const shown = best.slice(0, TOP);
  const none = loaded.targets.length - best.length;
  return (
    <section class="summary" aria-labelledby="whence-summary">
      <h2 id="whence-summary">The chosen passage, {noun(loaded)} by {noun(loaded)}</h2>
      <p class="chosen">
        <span dir="auto" lang="">
          {text}
        </span>{" "}
        <button type="button" class="jump" onClick={() => (jump.value = segment)}>
          <bdi>{loaded.names[source]}</bdi> <span aria-hidden="true">→</span>
          <span class="unseen"> show in the record</span>
        </button>
      </p>
      <ol>
        {shown.map((target) => (
          <li>
            <span class="share">{percent(Math.max(0, shares[target] ?? 0))}</span>
            <button
              type="button"
              class="quote"
              onClick={() => {
                state.choice.value = { kind: "target", index: target };
                announce(`Chosen: ${targetName(loaded, target)}`);
              }}
            >
              <span class="quiet">{targetName(loaded, target)}</span>{" "}
              <mark dir="auto" lang="" class={stepClass(steps[target] ?? 0)}>
                {labelled(loaded.targetText(target))}
              </mark>
            </button>
          </li>
        ))}
      </ol>
      <p class="quiet">
        {best.length > TOP && `${counted(best.length - TOP, `other ${noun(loaded)}`)} with less. `}
        {none > 0 && `In ${counted(none, noun(loaded))} it counts for nothing.`}
      </p>
    </section>
  );
}

function stepClass(step: number): string {
  return step === 0 ? "" : step < 0 ? `n${-step}` : `s${step}`;
}

/** By share, ties in reading order. */
function strongest(shares: Float64Array): { segment: number }[] {
  const best: number[] = [];
  shares.forEach((share, at) => {
    if (share <= 0) return;
    let place = best.length;
    while (place > 0 && (shares[best[place - 1] ?? 0] ?? 0) < share) place--;
    if (place >= TOP) return;
    best.splice(place, 0, at);
    if (best.length > TOP) best.pop();
  });
  return best.map((segment) => ({ segment }));
}
