// What stands on every export: of which model, by what method, and how it is shown.

import { visible } from "../../core/text.js";
import { words } from "../../core/wording.js";
import { aboutOf } from "../about.js";
import type { Viewer } from "../viewer.js";

/** Names and values, in the order in which they are read. */
export type Facts = Record<string, string>;

/** The facts of an export, texts of others as they are drawn. `own`: what a view knows better, or beside these. */
export function factsOf(viewer: Viewer, own: Facts): Facts {
  const { loaded, state } = viewer;
  const { model, provider, revision, created_at } = loaded.explanation;
  const { name: method, evidence, caveats } = aboutOf(viewer);
  const { scores } = loaded.result(state.result.value).told;
  const facts: Facts = {
    view: state.view.value,
    model,
    provider,
    revision: revision ?? "not known",
    method,
    evidence: words.evidence[evidence],
    caveats: caveats.join(" ") || "none",
    unit: words.units[scores.unit],
    scale: state.scale.value,
    values: state.renormalised.value ? "renormalised: shares of what is not masked" : "raw",
    explained: created_at,
    exported: new Date().toISOString(),
    ...own,
  };
  return Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, visible(value)]));
}

/** A name for a file: of these facts alone, for a record's words have no place in one. */
export function fileName({ model, method, view, exported }: Facts, ending: string): string {
  const parts = [model, method, view].map((part = "") => part.replace(/[^A-Za-z0-9]+/g, "-").slice(0, 40));
  const name = ["whence", ...parts, exported?.replace(/\.\d+|[-:]/g, "")].join("-");
  return `${name.replace(/-+/g, "-")}.${ending}`;
}
