// The notebook's widget: anywidget calls `render` with a model, whose traits hold the explanation.

import type { Given } from "../core/model.js";
import { mount } from "../ui/mount.js";

interface AnyModel {
  get(trait: "explanation"): string;
  get(trait: "retrieval"): string | null;
}

async function render({ model, el }: { model: AnyModel; el: HTMLElement }): Promise<() => void> {
  const root = el.attachShadow({ mode: "open" });
  const place = root.appendChild(document.createElement("div"));
  const retrieval = model.get("retrieval");
  const given: Given = {
    explanation: JSON.parse(model.get("explanation")),
    retrieval: retrieval === null ? null : JSON.parse(retrieval),
  };
  return mount(root, place, given);
}

export default { render };
