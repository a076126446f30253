// How much of the evidence lies in the sources at all, and what else is known of it: shares alone would hide both.

import words from "../generated/words.json";
import { measured, notMeasured } from "../core/describe.js";
import { percent, quantity } from "../core/scale.js";
import { noun } from "./chosen.js";
import { useViewer } from "./viewer.js";

export function Balance() {
  const { loaded, state, chosen } = useViewer();
  const { told } = loaded.result(state.result.value);
  const { scores } = told;
  const { name, masked, left } = chosen.value;
  const passages = masked.shares.reduce((sum, share) => sum + share, 0);
  const known = scores.elsewhere !== null || masked.elsewhere > 0.5;
  const renormalised = state.renormalised.value && masked.masked !== 0;
  const parts = masked.parts.map(([part, share]) => `${percent(share)} on ${words.parts[part]}`).join("; ");
  const out = left.map(([part, share]) => `${percent(share)} on ${words.parts[part]}`).join("; ");
  return (
    <div class="balance">
      <p>
        <span class="quiet">{renormalised ? "Of what is shown for" : "Of all evidence for"}</span> <bdi>{name}</bdi>:{" "}
        <strong>{percent(passages)}</strong> in the sources, <strong>{known ? percent(masked.elsewhere) : "–"}</strong>{" "}
        elsewhere
        <span class="quiet">
          {scores.elsewhere === null ? ` (${passages > 0 ? words.elsewhere_unmeasured : words.elsewhere_all})` : parts && ` (${parts})`}
        </span>
        {left.length > 0 && (
          <>
            {renormalised ? "; masked, of all evidence: " : ", "}
            <strong>{percent(masked.masked)}</strong> {renormalised ? "" : "masked "}
            <span class="quiet">({out})</span>
          </>
        )}
        .
      </p>
      <dl>
        {scores.noise_floor !== null && (
          <div>
            <dt>Noise floor</dt>
            <dd>{`${quantity(scores.noise_floor)} ${words.units[scores.unit]}: what is nearer to 0 counts as 0`}</dd>
          </div>
        )}
        {([["Fidelity", told.fidelity], ["Groundedness", told.groundedness]] as const).map(([label, measure]) => (
          <div>
            <dt>{label}</dt>
            <dd>
              <bdi>{notMeasured(measure) || measuredHere(measure)}</bdi>
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );

  function measuredHere(measure: typeof told.fidelity): string {
    const choice = state.choice.value;
    const target = loaded.targets.length === 1 ? 0 : choice?.kind === "target" ? choice.index : null;
    return target === null ? `stands with each ${noun(loaded)}` : measured(measure, target);
  }
}
