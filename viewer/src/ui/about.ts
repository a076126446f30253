// What the open view shows, and what that is evidence of: the scores of a method, or attention as it was, which is
// where the model looked, by whatever method the scores were made.

import type { Method } from "../core/schema.js";
import { words } from "../core/wording.js";
import type { Viewer } from "./viewer.js";

export interface About extends Pick<Method, "name" | "family" | "evidence"> {
  caveats: readonly string[];
  /** Whether it is attention itself, and not what a method made of it. */
  attention: boolean;
}

export function aboutOf({ loaded, state }: Viewer): About {
  const { method, caveats } = loaded.result(state.result.value).told;
  const view = state.view.value;
  const attention = loaded.explanation.attention !== null && (view === "heads" || (view === "heatmap" && state.picture.value === "attention"));
  if (!attention) return { ...method, caveats, attention };
  return { name: "attention weights", family: "native_attention", evidence: "descriptive", caveats: [words.attention_caveat], attention };
}
