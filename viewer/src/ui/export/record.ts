// What the record and the sources export: scores and shares as numbers, and the shaded record as a picture.

import { percent } from "../../core/scale.js";
import type { Evidence, Parts } from "../../core/shares.js";
import words from "../../generated/words.json";
import { stepsOf } from "../../views/record/steps.js";
import { maskingOf, targetName } from "../chosen.js";
import type { Exporter, Row } from "../export.js";
import type { Viewer } from "../viewer.js";
import { shortest } from "./digits.js";
import { drawn, type Picture } from "./sheet.js";
import { laid, WIDTH } from "./shaded.js";

const COLUMNS = ["of", "of_start", "of_end", "of_text", "source", "segment", "start", "end", "text", "score", "share"];
/** Lines of a source in a picture: beyond them the numbers are the better export. */
const MOST_LINES = 400;

/** One part of the output with what it received. */
interface Part {
  name: string;
  start: number;
  end: number;
  evidence: Evidence;
}

export function recordExporter(viewer: Viewer): Exporter {
  const { chosen, state } = viewer;
  return {
    facts: () => ({
      "shown for": chosen.value.name,
      elsewhere: elsewhereOf(viewer),
      masked: maskedOf(viewer),
    }),
    ...drawn(viewer, () => picture(viewer)),
    csv: () => [COLUMNS, ...parts(viewer).flatMap((part) => rowsOf(viewer, part))],
    json: () => ({
      parts: parts(viewer).map((part) => {
        const { shares, elsewhere: outside } = viewer.loaded.maskedShares(state.result.value, part.evidence, maskingOf(state));
        const { name, start, end, evidence } = part;
        const text = viewer.loaded.output.slice(start, end);
        return { name, start, end, text, scores: Array.from(evidence.row, shortest), shares: [...shares], elsewhere: outside };
      }),
      segments: viewer.loaded.segments.map((segment, at) => ({ ...segment, text: viewer.loaded.segmentText(at) })),
    }),
  };
}

function elsewhereOf({ loaded, state, chosen }: Viewer): string {
  const { elsewhere, parts } = chosen.value.masked;
  if (loaded.result(state.result.value).told.scores.elsewhere === null) return words.elsewhere_unmeasured;
  return `${percent(elsewhere)} (${on(parts)})`;
}

function maskedOf({ chosen }: Viewer): string {
  const { left, masked } = chosen.value;
  return left.length === 0 ? "nothing" : `${percent(masked.masked)} (${on(left)})`;
}

function on(parts: Parts): string {
  return parts.map(([part, share]) => `${percent(share)} on ${words.parts[part]}`).join("; ");
}

/** What is chosen of the output, or every target. */
function parts({ loaded, state, chosen }: Viewer): Part[] {
  const choice = state.choice.value;
  const { evidence, name } = chosen.value;
  const stretch = choice?.kind === "target" ? loaded.targets[choice.index] : choice?.kind === "stretch" ? choice : undefined;
  if (stretch !== undefined && evidence !== null) return [{ name, start: stretch.start, end: stretch.end, evidence }];
  return loaded.targets.map(({ start, end }, at) => {
    return { name: targetName(loaded, at), start, end, evidence: loaded.evidence(state.result.value, at) };
  });
}

function rowsOf({ loaded, state }: Viewer, { name, start, end, evidence }: Part): Row[] {
  const { shares } = loaded.maskedShares(state.result.value, evidence, maskingOf(state));
  const text = loaded.output.slice(start, end);
  return loaded.segments.map((segment, at): Row => {
    const place = [at, segment.start ?? "", segment.end ?? "", loaded.segmentText(at)];
    const source = loaded.names[loaded.sourceIndex.get(segment.source) ?? -1] ?? "";
    return [name, start, end, text, source, ...place, shortest(evidence.row[at] ?? 0), shares[at] ?? 0];
  });
}

/** The sources one under the other, each passage on its shade. */
function picture({ loaded, state, chosen }: Viewer): Picture {
  const { signed, name } = chosen.value;
  const steps = stepsOf(signed, state.scale.value);
  const blocks = loaded.texts.map((text, source) => {
    const own = loaded.segments
      .map((segment, at) => ({ ...segment, step: steps[at] ?? 0 }))
      .filter(({ source: id, start }) => start !== null && loaded.sourceIndex.get(id) === source)
      .map(({ start, end, step }) => ({ text: text.slice(start ?? 0, end ?? 0), step }));
    return { title: loaded.names[source] ?? "", pieces: own };
  });
  const { height, draw } = laid(blocks, MOST_LINES);
  const method = loaded.result(state.result.value).told.method.name;
  return { width: WIDTH, height, title: `${method}: shares of the sources, for ${name}`, draw };
}
