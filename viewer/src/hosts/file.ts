// The self-contained file: everything stands in the page, in blocks of data that are text and nothing else. The
// weights of heads, which are most of it, stand behind this script: it draws while the browser still reads them.

import type { FetchHead, Given } from "../core/model.js";
import { mount } from "../ui/mount.js";

function block(id: string): string | null {
  return document.getElementById(id)?.textContent ?? null;
}

const fetchHead: FetchHead = async (name, layer, head) => {
  const id = `head-${name}-${layer}-${head}`;
  // The block that is being read may not be whole: it is when another one follows, or the page ends.
  while (document.readyState === "loading" && document.getElementById(id)?.nextElementSibling == null) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return block(id);
};

async function start(place: HTMLElement): Promise<void> {
  // In a frame, such as a notebook's, the address and the focus are not the viewer's own.
  const alone = window.parent === window;
  try {
    const retrieval = block("retrieval");
    const given: Given = {
      explanation: JSON.parse(block("explanation") ?? "null"),
      words: JSON.parse(block("words") ?? "{}"),
      retrieval: retrieval === null ? null : JSON.parse(retrieval),
      fetchHead,
    };
    await mount(document, place, given, { address: alone ? [] : undefined });
    // Keys belong to the viewer, and here nothing else could want them.
    if (alone) (place.firstElementChild as HTMLElement | null)?.focus({ preventScroll: true });
  } catch (error) {
    place.textContent = `This explanation cannot be shown: ${error instanceof Error ? error.message : "it is damaged"}.`;
  }
  document.documentElement.dataset["ready"] = "";
}

const place = document.getElementById("viewer");
if (place !== null) void start(place);
