// The five strongest passages of what is chosen; of a chosen passage, the parts of the output where it counted.

import { counted, found, score } from "../../core/describe.js";
import { percent } from "../../core/scale.js";
import { labelled } from "../../core/text.js";
import { strongest } from "../../core/top.js";
import words from "../../generated/words.json";
import { choose, noun, sharesOfSegment, targetName } from "../../ui/chosen.js";
import { Jump } from "../../ui/jump.js";
import { useViewer } from "../../ui/viewer.js";
import { quote } from "./quote.js";
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
  let [others, rest] = [-best.length, 0];
  for (const share of values) if (share > 0) [others, rest] = [others + 1, rest + share];
  for (const at of best) rest -= values[at]!;
  const of = passage === null ? null : quote(loaded, passage);
  return (
    <section class="summary" aria-labelledby="whence-summary">
      <h2 id="whence-summary">
        {of === null ? "Strongest passages" : `The chosen passage, ${noun(loaded)} by ${noun(loaded)}`}
        {of === null && <> for <bdi>{name}</bdi></>}
      </h2>
      {of !== null && passage !== null && (
        <p class="chosen">
          <span dir="auto" lang="">{of.text}</span> <Jump segment={passage} name={loaded.names[of.source]} />
        </p>
      )}
      {best.length === 0 && (
        <p class="quiet">{evidence?.unmeasured ? words.elsewhere_measured : words.elsewhere_all}</p>
      )}
      <ol>
        {best.map((at) => {
          const own = of === null ? quote(loaded, at) : { before: "", text: labelled(loaded.targetText(at)), after: "" };
          return (
            <li>
              <span class="share">{percent(values[at]!)}</span>
              <div>
                <button
                  type="button"
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
                {"source" in own && (
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
      {others > 0 && (
        <p class="quiet">
          {counted(others, `other ${of === null ? "passage" : noun(loaded)}`)}: {percent(Math.max(0, rest))} together.
        </p>
      )}
      {evidence !== null && <p class="quiet">{found(evidence, scores)}</p>}
    </section>
  );
}
