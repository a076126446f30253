// What the shades mean, for the scale that is chosen.

import { EDGES_PERCENT, legend, percent } from "../../core/scale.js";
import { useViewer } from "../../ui/viewer.js";

export function Legend() {
  const { loaded, state, chosen } = useViewer();
  const scale = state.scale.value;
  const { signed, name } = chosen.value;
  const against = signed.some((share) => share < 0);
  const most = signed.reduce((best, share) => Math.max(best, Math.abs(share)), 0);
  const choice = state.choice.value;
  return (
    <div class="legend">
      <p>
        {choice?.kind === "segment" ? "The chosen passage is framed. " : ""}
        The record is shaded by each passage’s share for <bdi>{name}</bdi>
        {scale === "linear" && `; a share under ${EDGES_PERCENT[0]}\xa0% is not shaded.`}
        {scale === "log" && ` on a logarithmic scale, of this picture alone: the darkest shade stands for up to ${percent(most)}.`}
        {scale === "percentile" && ", ranked: each shade holds a fifth of the passages that received anything, however little."}
        {against && loaded.result(state.result.value).told.scores.signed && (
          <> Amber: a score below zero, of that size; it counts as 0.</>
        )}
      </p>
      <ul>
        {legend().map(([step, label]) => (
          <li>
            <mark class={`s${step}`}>{scale === "linear" ? label : ["weakest", "weak", "middle", "strong", "strongest"][step - 1]}</mark>
          </li>
        ))}
      </ul>
    </div>
  );
}
