// What stands on every export: of which model, by what method, and how it is shown.

import { visible } from "../../core/text.js";
import words from "../../generated/words.json";
import type { Viewer } from "../viewer.js";

/** Names and values, in the order in which they are read. */
export type Facts = Record<string, string>;

const SINK = "the first token";
const SPECIAL = "special tokens";

/** The facts of an export, texts of others as they are drawn. `own`: what a view knows better, or beside these. */
export function factsOf({ loaded, state }: Viewer, view: string, own: Facts): Facts {
  const { explanation, results } = loaded;
  const told = results[state.result.value]?.told;
  const masks = [...(state.maskSink.value ? [SINK] : []), ...(state.maskSpecial.value ? [SPECIAL] : [])];
  const facts: Facts = {
    view,
    model: explanation.model,
    provider: explanation.provider,
    revision: explanation.revision ?? "not known",
    method: told?.method.name ?? "",
    evidence: told === undefined ? "" : words.evidence[told.method.evidence],
    caveats: told?.caveats.join(" ") || "none",
    unit: told === undefined ? "" : words.units[told.scores.unit],
    scale: state.scale.value,
    masked: masks.join(", ") || "nothing",
    values: state.renormalised.value ? "renormalised: shares of what is not masked" : "raw",
    explained: explanation.created_at,
    exported: new Date().toISOString(),
    ...own,
  };
  return Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, visible(value)]));
}

/** A name for a file: of these facts alone, for a record's words have no place in one. */
export function fileName(facts: Facts, ending: string): string {
  const time = (facts["exported"] ?? "").replace(/\.\d+|[-:]/g, "");
  const parts = [facts["model"], facts["method"], facts["view"]].map((part) => plain(part ?? "")).filter(Boolean);
  return `${["whence", ...parts, time].join("-")}.${ending}`;
}

/** Letters and digits of ASCII, and hyphens: 40 at most. */
function plain(text: string): string {
  return text
    .normalize("NFKD")
    .replace(/[^A-Za-z0-9]+/g, "-")
    .replace(/^-+/, "")
    .slice(0, 40)
    .replace(/-+$/, "");
}
