// The self-contained file: everything stands in the page, in blocks of data that are text and nothing else.

import type { Given } from "../core/model.js";
import { mount } from "../ui/mount.js";

function block(id: string): string | null {
  return document.getElementById(id)?.textContent ?? null;
}

async function start(): Promise<void> {
  const place = document.getElementById("viewer")!;
  const retrieval = block("retrieval");
  const given: Given = {
    explanation: JSON.parse(block("explanation")!),
    retrieval: retrieval === null ? null : JSON.parse(retrieval),
    fetchHead: async (name, layer, head) => block(`head-${name}-${layer}-${head}`),
  };
  try {
    await mount(document, place, given);
  } catch (error) {
    place.textContent = `This explanation cannot be shown: ${error instanceof Error ? error.message : "it is damaged"}.`;
  }
  document.documentElement.dataset["ready"] = "";
}

void start();
