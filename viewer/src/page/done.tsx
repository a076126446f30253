// The explanation, in the viewer, under a bar that leads back.

import { signal } from "@preact/signals-core";
import { useEffect, useRef } from "preact/hooks";
import type { Explanation } from "../core/schema.js";
import type { Words } from "../core/wording.js";
import { adopt } from "../ui/adopt.js";
import { download } from "../ui/download.js";
import { prefixOf } from "./address.js";
import { ProblemBox } from "./problem.js";
import type { Problem } from "./service.js";
import stageStyles from "./stage.css";
import { asProblem, type Page } from "./work.js";

type Module = typeof import("../hosts/module.js");
/** Beside this page's own script, and fetched when there is something to look at. */
const VIEWER = "./viewer.js";

const fault = signal<Problem | null>(null);

export function Done({ page, explanation }: { page: Page; explanation: Explanation }) {
  const back = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    fault.value = null;
    back.current?.focus();
    scrollTo(0, 0);
  }, [explanation]);
  const saves = (kind: "json" | "html") => () => {
    fault.value = null;
    save(page, explanation, kind).catch((error: unknown) => (fault.value = asProblem(error)));
  };
  return (
    <div class="whence page shown">
      <nav class="bar" aria-label="This explanation">
        <button type="button" ref={back} onClick={page.back}>
          Back to the question
        </button>
        <span class="grow" />
        <button type="button" onClick={saves("html")}>
          Save as a file with this viewer
        </button>
        <button type="button" onClick={saves("json")}>
          Save as JSON
        </button>
      </nav>
      {fault.value !== null && <ProblemBox problem={fault.value} alert />}
      <Viewer page={page} explanation={explanation} />
    </div>
  );
}

/** The viewer has a shadow of its own: its styles and the page's do not meet. */
function Viewer({ page, explanation }: { page: Page; explanation: Explanation }) {
  const stage = useRef<HTMLElement>(null);
  useEffect(() => {
    if (stage.current === null) return;
    const host = stage.current.appendChild(document.createElement("div"));
    const root = host.attachShadow({ mode: "open" });
    const place = root.appendChild(document.createElement("div"));
    const { id } = explanation;
    const fetchHead = (block: string, layer: number, head: number) => page.service.head(id, block, layer, head);
    const options = { address: prefixOf(id) };
    const module: Promise<Module> = import(VIEWER);
    const mounted = module.then(({ mount }) => mount(root, place, { explanation, words: wordsOfPage(), fetchHead }, options));
    mounted.then(
      () => adopt(root, stageStyles),
      (error: unknown) => (fault.value = asProblem(error)),
    );
    return () => {
      host.remove();
      mounted.then((undo) => undo(), () => {});
    };
  }, [explanation]);
  return <main class="stage" ref={stage} />;
}

/** They stand in the page: the service knows them from where all others have them. */
function wordsOfPage(): Words {
  return JSON.parse(document.getElementById("words")?.textContent ?? "{}");
}

async function save(page: Page, { id }: Explanation, kind: "json" | "html"): Promise<void> {
  download(await page.service.file(id, kind), `explanation-${id}.${kind}`);
}
