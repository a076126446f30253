// What the record and the sources export: scores and shares as numbers, and the shaded record as a picture.

import { percent, shortest } from "../../core/scale.js";
import type { Evidence } from "../../core/shares.js";
import { words } from "../../core/wording.js";
import { shadeNames, shadesSaid } from "../../views/record/legend.js";
import { stepsOf } from "../../views/record/steps.js";
import { elsewhereSaid, maskingOf, partsSaid, targetName } from "../chosen.js";
import type { Exporter, Row } from "../export.js";
import type { Viewer } from "../viewer.js";
import type { Facts } from "./facts.js";
import { laid, WIDTH } from "./shaded.js";
import { drawn, type Picture } from "./sheet.js";

export function recordExporter(viewer: Viewer): Exporter {
  const { loaded } = viewer;
  const own = parts(viewer);
  const segments = loaded.segments.map(({ source, start, end }, at) => {
    return { source: loaded.names[loaded.sourceIndex.get(source) ?? -1] ?? "", segment: at, start, end, text: loaded.segmentText(at) };
  });
  return {
    facts: () => factsOfEvidence(viewer),
    ...drawn(viewer, () => picture(viewer)),
    csv: () => [
      ["of", "of_start", "of_end", "of_text", ...Object.keys(segments[0] ?? {}), "score", "share"],
      ...own.flatMap(({ name, start, end, text, scores, shares }) =>
        segments.map((segment, at): Row => {
          const place = Object.values(segment).map((value) => value ?? "");
          return [name, start, end, text, ...place, scores[at] ?? 0, shares[at] ?? 0];
        }),
      ),
    ],
  };
}

/** What the shares are of, and what they are not. */
export function factsOfEvidence(viewer: Viewer): Facts {
  const { loaded, state, chosen } = viewer;
  const { name, masked } = chosen.value;
  const { scores } = loaded.result(state.result.value).told;
  const whole = state.renormalised.value ? "what is shown" : "all evidence";
  return {
    "shown for": name,
    unit: `shares: parts of ${whole}; scores: ${words.units[scores.unit]}`,
    elsewhere: elsewhereSaid(viewer).join(""),
    masked: masked.left.length === 0 ? "nothing" : percent(masked.masked) + partsSaid(masked.left),
  };
}

/** What is chosen of the output, or every target, with what it received. */
function parts({ loaded, state, chosen }: Viewer) {
  const choice = state.choice.value;
  const result = state.result.value;
  const part = (name: string, { start, end }: { start: number; end: number }, evidence: Evidence) => {
    const { shares, elsewhere } = loaded.maskedShares(result, evidence, maskingOf(state));
    return { name, start, end, text: loaded.output.slice(start, end), scores: Array.from(evidence.row, shortest), shares: [...shares], elsewhere };
  };
  const { evidence, name } = chosen.value;
  const stretch = choice?.kind === "target" ? loaded.targets[choice.index] : choice?.kind === "stretch" ? choice : undefined;
  if (stretch !== undefined && evidence !== null) return [part(name, stretch, evidence)];
  return loaded.targets.map((target, at) => part(targetName(loaded, at), target, loaded.evidence(result, at)));
}

/** The sources one under the other, each passage on its shade. */
function picture({ loaded, state, chosen }: Viewer): Picture {
  const { masked, name } = chosen.value;
  const steps = stepsOf(masked.signed, state.scale.value);
  const blocks = loaded.texts.map((text, source) => ({
    title: loaded.names[source] ?? "",
    pieces: loaded.segments.flatMap(({ source: id, start, end }, at) =>
      start === null || end === null || loaded.sourceIndex.get(id) !== source ? [] : { text: text.slice(start, end), step: steps[at] ?? 0 },
    ),
  }));
  const shades = shadeNames(state.scale.value).flatMap((text, at) => [{ text: " ", step: 0 }, { text, step: at + 1 }]);
  const said = `Each passage’s share, ${shadesSaid(state.scale.value, masked.signed)}\n`;
  blocks.unshift({ title: "Shades", pieces: [{ text: said, step: 0 }, ...shades] });
  const title = `${loaded.result(state.result.value).told.method.name}: shares of the sources, for ${name}`;
  return { width: WIDTH, ...laid(blocks), title };
}
