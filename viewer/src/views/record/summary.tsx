// The five strongest passages of what is chosen; of a chosen passage, the parts of the output where it counted.

import { counted, found, score } from "../../core/describe.js";
import { percent } from "../../core/scale.js";
import { labelled } from "../../core/text.js";
import { strongest } from "../../core/top.js";
import { words } from "../../core/wording.js";
import { choose, noun, sharesOfSegment, targetName } from "../../ui/chosen.js";
import { Jump } from "../../ui/jump.js";
import { useViewer } from "../../ui/viewer.js";
import { type Quote, quote } from "./quote.js";
import { stepsOf } from "./steps.js";

const TOP = 5;

export function Summary() {
  const viewer = useViewer();
  const { loaded, state, chosen, whole } = viewer;
  const { scores } = loaded.result(state.result.value).told;
  const { name, evidence, masked } = chosen.value;
  const choice = state.choice.value;
  const passage = choice?.kind === "segment" ? choice.index : null;
  const values = passage === null ? masked.signed : sharesOfSegment(loaded, whole.value, passage);
  const steps = stepsOf(values, state.scale.value);
  // By score where there is one: claims share equally, and are told apart by it.
  const best = strongest(evidence === null ? values : evidence.row.map((own, at) => (values[at]! > 0 ? own : 0)), TOP);
  const others = values.filter((share, at) => share > 0 && !best.includes(at));
  const of = passage === null ? null : quote(loaded, passage);
  return (
    <section class="summary" aria-labelledby="whence-summary">
      <h2 id="whence-summary">
        {of === null ? "Strongest passages" : `The chosen passage, ${noun(loaded)} by ${noun(loaded)}`}
        {of === null && <> for <bdi>{name}</bdi></>}
      </h2>
      {passage !== null && of !== null && (
        <p class="chosen">
          <span dir="auto" lang="">{of.text}</span> <Jump segment={passage} name={loaded.names[of.source]} />
        </p>
      )}
      {best.length === 0 && (
        <p class="quiet">{evidence?.unmeasured ? words.elsewhere_measured : words.elsewhere_all}</p>
      )}
      <ol>
        {best.map((at) => {
          const own: Partial<Quote> = of === null ? quote(loaded, at) : { text: labelled(loaded.targetText(at)) };
          return (
            <li>
              <span class="share">{percent(values[at]!)}</span>
              <div>
                <button
                  class="quote"
                  onClick={() => choose(viewer, { kind: of === null ? "segment" : "target", index: at })}
                >
                  {of !== null && `${targetName(loaded, at)} `}
                  <span dir="auto" lang="">
                    {own.before}
                    <mark class={`s${steps[at]}`}>{own.text}</mark>
                    {own.after}
                  </span>
                </button>
                {own.source !== undefined && (
                  <p class="from">
                    <Jump segment={at} name={loaded.names[own.source]} />
                    {evidence !== null && <span>{score(evidence, at, scores)}</span>}
                  </p>
                )}
              </div>
            </li>
          );
        })}
      </ol>
      {others.length > 0 && (
        <p class="quiet">
          {counted(others.length, `other ${of === null ? "passage" : noun(loaded)}`)}:{" "}
          {percent(others.reduce((sum, share) => sum + share, 0))} together.
        </p>
      )}
      {evidence !== null && <p class="quiet">{found(evidence, scores)}</p>}
    </section>
  );
}
