// What the shades mean, for the scale that is chosen: on the screen and in a picture.

import { NBSP, type Scale } from "../../core/scale.js";
import { words } from "../../core/wording.js";
import { useViewer } from "../../ui/viewer.js";

/** How shares become shades, in words. */
export function shadesSaid(scale: Scale, signed: Float64Array): string {
  const said = {
    linear: `from ${words.edges_percent[0]}${NBSP}% on.`,
    log: "by its logarithm, from half of the smallest to the greatest.",
    percentile: "ranked: each shade is a fifth of the passages that received anything.",
  }[scale];
  return said + (signed.some((share) => share < 0) ? " Amber, or a wavy line: a score below zero, of that size; it counts as 0." : "");
}

/** What each of the five shades stands for. */
export function shadeNames(scale: Scale): string[] {
  return words.edges_percent.map((edge, at) => {
    const next = words.edges_percent[at + 1];
    if (scale !== "linear") return String(at + 1);
    return next === undefined ? `${edge}${NBSP}% or more` : `${edge} to ${next}${NBSP}%`;
  });
}

export function Legend() {
  const { state, chosen } = useViewer();
  const { masked, name } = chosen.value;
  const scale = state.scale.value;
  return (
    <div class="legend">
      <p>
        Shaded: each passage’s share for <bdi>{name}</bdi>, {shadesSaid(scale, masked.signed)}
      </p>
      <ul>
        {shadeNames(scale).map((shade, at) => (
          <li>
            <mark class={`s${at + 1}`}>{shade}</mark>
          </li>
        ))}
      </ul>
    </div>
  );
}
