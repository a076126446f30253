// The notebook's widget: anywidget calls `render` with a model that speaks with the kernel. The explanation is a
// trait; the weights of heads stay in the kernel until they are looked at (see whence.explain.render.widget).

import type { FetchHead, Given } from "../core/model.js";
import { mount } from "../ui/mount.js";

interface Answer {
  block: string;
  layer: number;
  head: number;
  values: string | null;
}

interface AnyModel {
  get(trait: "explanation" | "words"): string;
  send(content: Omit<Answer, "values">): void;
  on(event: "msg:custom", callback: (answer: Answer) => void): void;
  off(event: "msg:custom", callback: (answer: Answer) => void): void;
}

/** So long a kernel may take that is at work on something else. */
const PATIENCE_MS = 30_000;
/** Lumino, whose shortcuts are JupyterLab's and Notebook's, passes over keys that meet an element with this mark. */
const UNSEEN_BY_LUMINO = "data-lm-suppress-shortcuts";

async function render({ model, el }: { model: AnyModel; el: HTMLElement }): Promise<() => void> {
  const end = new AbortController();
  const root = el.attachShadow({ mode: "open" });
  const place = root.appendChild(document.createElement("div"));
  keepKeys(el, end.signal);
  const given: Given = {
    explanation: JSON.parse(model.get("explanation")),
    words: JSON.parse(model.get("words")),
    fetchHead: asksKernel(model, end.signal),
  };
  followScheme(place, end.signal);
  const unmount = await mount(root, place, given);
  return () => {
    end.abort();
    unmount();
  };
}

/** Single keys are the viewer's, or else "x" cuts the cell; those with Ctrl or Cmd stay the notebook's. */
function keepKeys(el: HTMLElement, signal: AbortSignal): void {
  const own = (event: KeyboardEvent) => !(event.ctrlKey || event.metaKey);
  // Lumino listens at the document, before a key comes to us: the mark must be there by then.
  const mark = (event: KeyboardEvent) => void el.toggleAttribute(UNSEEN_BY_LUMINO, own(event));
  window.addEventListener("keydown", mark, { capture: true, signal });
  const keep = (event: KeyboardEvent) => {
    if (own(event)) event.stopPropagation();
  };
  el.addEventListener("keydown", keep, { signal });
}

/** Dark as the notebook says: JupyterLab and VS Code mark their body, Colab its html; others follow the browser. */
function followScheme(place: HTMLElement, signal: AbortSignal): void {
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => {
    const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
    if (jpThemeLight !== undefined) return jpThemeLight === "false";
    if (vscodeThemeKind !== undefined) return !vscodeThemeKind.includes("light");
    const theme = document.documentElement.getAttribute("theme");
    return theme === null ? preferred.matches : theme === "dark";
  };
  const follow = () => (place.style.colorScheme = isDark() ? "dark" : "light");
  follow();
  const observer = new MutationObserver(follow);
  for (const marked of [document.documentElement, document.body]) {
    observer.observe(marked, { attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind", "theme"] });
  }
  signal.addEventListener("abort", () => observer.disconnect());
  preferred.addEventListener("change", follow, { signal });
}

function asksKernel(model: AnyModel, signal: AbortSignal): FetchHead {
  return (block, layer, head) =>
    new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        model.off("msg:custom", hear);
      };
      const hear = (answer: Answer) => {
        if (answer.block !== block || answer.layer !== layer || answer.head !== head) return;
        done();
        resolve(answer.values);
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error("the kernel does not answer: run the cell again"));
      }, PATIENCE_MS);
      signal.addEventListener("abort", done);
      model.on("msg:custom", hear);
      model.send({ block, layer, head });
    });
}

export default { render };
