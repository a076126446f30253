// What the shades mean, for the scale that is chosen.

import { EDGES_PERCENT, greatest, legend, percent } from "../../core/scale.js";
import { useViewer } from "../../ui/viewer.js";

export function Legend() {
  const { state, chosen } = useViewer();
  const { masked, name } = chosen.value;
  const { signed } = masked;
  const scale = state.scale.value;
  return (
    <div class="legend">
      <p>
        Shaded: each passage’s share for <bdi>{name}</bdi>
        {
          {
            linear: `, from ${EDGES_PERCENT[0]}\xa0% on.`,
            log: `, on a logarithmic scale of this picture alone: the darkest shade is up to ${percent(greatest(signed))}.`,
            percentile: ", ranked: each shade holds a fifth of the passages that received anything, however little.",
          }[scale]
        }
        {signed.some((share) => share < 0) && " Amber: a score below zero, of that size; it counts as 0."}
      </p>
      <ul>
        {legend().map(([step, label]) => (
          <li>
            <mark class={`s${step}`}>{scale === "linear" ? label : step}</mark>
          </li>
        ))}
      </ul>
    </div>
  );
}
