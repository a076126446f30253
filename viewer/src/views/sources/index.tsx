// The sources, ranked by what the answer, or the chosen part of it, rests on.

import words from "../../generated/words.json";
import { percent, quantity } from "../../core/scale.js";
import { counted } from "../../core/describe.js";
import { useViewer } from "../../ui/viewer.js";
import { LEFT, type Row, rowsOf, UNUSED } from "./rows.js";

export function SourcesView() {
  const { loaded, state, chosen } = useViewer();
  const { name, masked } = chosen.value;
  const { told } = loaded.result(state.result.value);
  const rows = rowsOf(loaded, masked.shares);
  const most = Math.max(...rows.map(({ share }) => share ?? 0));
  const retrieved = loaded.retrieval !== null;
  const scored = rows.some(({ score }) => score !== null);
  return (
    <div class="sources-view">
      <div class="line">
        <h2>
          Sources by their share for <bdi>{name}</bdi>
        </h2>
        {state.choice.value !== null && (
          <button type="button" onClick={() => (state.choice.value = null)}>
            The whole output
          </button>
        )}
      </div>
      <p class="quiet">
        {`${words.families[told.method.family].replace(/^./, (first) => first.toUpperCase())}: `}
        each number is {state.renormalised.value ? "a part of what is shown" : "a part of all evidence"}; the passages
        of a source together. A full bar is the largest of them.
        {retrieved && ` ${summary(rows)}`}
        {scored && " The retriever’s score is its own; it is no evidence of use."}
      </p>
      <table>
        <thead>
          <tr>
            <th scope="col">Source</th>
            <th scope="col">Share</th>
            {scored && <th scope="col">Retrieval score</th>}
            {retrieved && <th scope="col">Retrieved as</th>}
            {retrieved && <th scope="col">What became of it</th>}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <SourceRow row={row} most={most} scored={scored} retrieved={retrieved} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function SourceRow({ row, most, scored, retrieved }: { row: Row; most: number; scored: boolean; retrieved: boolean }) {
  const { state, jump } = useViewer();
  const { share, best } = row;
  return (
    <tr class={row.idle ? "idle" : ""}>
      <th scope="row">
        {best === null ? (
          <bdi>{row.name}</bdi>
        ) : (
          <button
            type="button"
            class="jump"
            onClick={() => {
              state.view.value = "record";
              jump.value = best;
            }}
          >
            <bdi>{row.name}</bdi> <span aria-hidden="true">→</span>
            <span class="unseen"> show in the record</span>
          </button>
        )}
      </th>
      <td>
        <div class="bar-cell">
          <span class="share">{share === null ? "–" : percent(share)}</span>
          <div class="ground" aria-hidden="true">
            <div style={{ width: `${most > 0 ? (100 * (share ?? 0)) / most : 0}%` }} />
          </div>
        </div>
      </td>
      {scored && <td class="number">{row.score === null ? "–" : quantity(row.score)}</td>}
      {retrieved && <td class="number">{row.rank ?? "–"}</td>}
      {retrieved && <td>{row.idle ? <strong>{row.fate}</strong> : row.fate}</td>}
    </tr>
  );
}

function summary(rows: readonly Row[]): string {
  const chunks = rows.filter(({ rank }) => rank !== null);
  const unused = chunks.filter(({ fate }) => fate.startsWith(UNUSED)).length;
  const left = chunks.filter(({ fate }) => fate.startsWith(LEFT)).length;
  return `${counted(chunks.length, "document")} retrieved: ${unused} in the prompt and unused, ${left} not in the prompt.`;
}
