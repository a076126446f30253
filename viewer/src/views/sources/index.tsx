// The sources, ranked by what the answer, or the chosen part of it, rests on.

import { counted } from "../../core/describe.js";
import { percent, quantity } from "../../core/scale.js";
import { choose } from "../../ui/chosen.js";
import { useExporter } from "../../ui/export.js";
import { Jump } from "../../ui/jump.js";
import { useViewer } from "../../ui/viewer.js";
import { sourcesExporter } from "./export.js";
import { stepsOf } from "../record/steps.js";
import { IDLE, LEFT, rowsOf, UNUSED } from "./rows.js";

export function SourcesView() {
  const viewer = useViewer();
  const { loaded, state, chosen } = viewer;
  const { name, masked } = chosen.value;
  const rows = rowsOf(loaded, masked.shares);
  const steps = stepsOf(Float64Array.from(rows, ({ share }) => share ?? 0), state.scale.value);
  useExporter(sourcesExporter(viewer, `Sources by their share for ${name}`, rows, steps));
  const retrieved = loaded.retrieval?.chunks;
  const scored = rows.some(({ score }) => score !== null);
  const withFate = (fate: string) => rows.filter((row) => row.fate.startsWith(fate)).length;
  const columns = ["Source", "Share", scored && "Retrieval score", retrieved && "Retrieved as", retrieved && "What became of it"];
  return (
    <div class="sources-view">
      <div class="line">
        <h2>
          Sources by their share for <bdi>{name}</bdi>
        </h2>
        {state.choice.value !== null && (
          <button onClick={() => choose(viewer, null)}>
            The whole output
          </button>
        )}
      </div>
      <p class="quiet">
        Each share is {state.renormalised.value ? "a part of what is shown" : "a part of all evidence"}.
        {retrieved &&
          ` ${counted(retrieved.length, "document")} retrieved: ${withFate(UNUSED)} in the prompt and unused, ${withFate(LEFT)} not in the prompt.`}
        {scored && " The retriever’s score is its own; it is no evidence of use."}
      </p>
      <table>
        <thead>
          <tr>
            {columns.filter(Boolean).map((column) => (
              <th scope="col" class="quiet">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ name, best, share, score, rank, fate }, at) => (
            <tr class={fate.startsWith(IDLE) ? "quiet" : ""}>
              <th scope="row">{best === null ? <bdi>{name}</bdi> : <Jump segment={best} name={name} />}</th>
              <td class="share">
                {share === null ? "–" : percent(share)}
                <div class={`s${steps[at]}`} style={{ width: `${100 * (share ?? 0)}%` }} />
              </td>
              {scored && <td class="number">{score === null ? "–" : quantity(score)}</td>}
              {retrieved && <td class="number">{rank ?? "–"}</td>}
              {retrieved && <td>{fate.startsWith(IDLE) ? <strong>{fate}</strong> : fate}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
