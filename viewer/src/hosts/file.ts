// The self-contained file: everything stands in the page, in blocks of data that are text and nothing else.

import type { Given } from "../core/model.js";
import { mount } from "../ui/mount.js";

function block(id: string): string | null {
  return document.getElementById(id)?.textContent ?? null;
}

async function start(place: HTMLElement): Promise<void> {
  try {
    const retrieval = block("retrieval");
    const given: Given = {
      explanation: JSON.parse(block("explanation") ?? "null"),
      retrieval: retrieval === null ? null : JSON.parse(retrieval),
      fetchHead: async (name, layer, head) => block(`head-${name}-${layer}-${head}`),
    };
    await mount(document, place, given, { address: true });
    // Keys belong to the viewer, and here nothing else could want them.
    (place.firstElementChild as HTMLElement | null)?.focus({ preventScroll: true });
  } catch (error) {
    place.textContent = `This explanation cannot be shown: ${error instanceof Error ? error.message : "it is damaged"}.`;
  }
  document.documentElement.dataset["ready"] = "";
}

const place = document.getElementById("viewer");
if (place !== null) void start(place);
