// The viewer as a whole: what must always be in sight, the views, and what they have in common.

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { HeadsView } from "../views/heads/index.js";
import { HeatmapView } from "../views/heatmap/index.js";
import { RecordView } from "../views/record/index.js";
import { SourcesView } from "../views/sources/index.js";
import { ExportMenu } from "./export.js";
import { Header } from "./header.js";
import { Help } from "./help.js";
import { type View, VIEWS } from "./state.js";
import { Options, Search, useMatch } from "./toolbar.js";
import { useViewer } from "./viewer.js";

const NAMES: Record<View, string> = {
  record: "Record and summary",
  sources: "Sources",
  heatmap: "Heatmap",
  heads: "Heads",
};

export function App() {
  const { told, root } = useViewer();
  const frame = useRef<HTMLDivElement>(null);
  const help = useSignal(false);
  const keys = useSignal(true);
  const pressed = useKeys(keys.value, () => (help.value = true), frame);
  const Main = root instanceof Document ? "main" : "div";
  return (
    <div class="whence" ref={frame} tabIndex={-1} onKeyDown={pressed}>
      <Header />
      <Main class="body">
        <div class="bar">
          <Tabs />
          <Search />
          <ExportMenu />
          <button type="button" aria-haspopup="dialog" onClick={() => (help.value = true)}>
            Keys
          </button>
        </div>
        <div class="main">
          <Options />
          <Panels />
        </div>
      </Main>
      <p class="told" role="status">
        {told}
      </p>
      <Help open={help} keys={keys} />
    </div>
  );
}

function Tabs() {
  const { state, announce } = useViewer();
  const list = useRef<HTMLDivElement>(null);
  const show = (view: View) => {
    state.view.value = view;
    announce(NAMES[view]);
  };
  const walk = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined) return;
    const to = (VIEWS.indexOf(state.view.value) + by + VIEWS.length) % VIEWS.length;
    show(VIEWS[to] ?? "record");
    (list.current?.children[to] as HTMLElement | undefined)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label="Views" ref={list} onKeyDown={walk}>
      {VIEWS.map((view) => {
        const selected = state.view.value === view;
        return (
          <button
            type="button"
            role="tab"
            id={`whence-tab-${view}`}
            aria-selected={selected}
            aria-controls={`whence-${view}`}
            tabIndex={selected ? 0 : -1}
            onClick={() => show(view)}
          >
            {NAMES[view]}
          </button>
        );
      })}
    </div>
  );
}

/** The record is kept where it was made once: it has thousands of elements. The other views are made anew. */
function Panels() {
  const { state } = useViewer();
  const made = useRef(false);
  const now = state.view.value;
  made.current ||= now === "record";
  return (
    <>
      {VIEWS.map((view) => (
        <div
          key={view}
          class="panel"
          role="tabpanel"
          id={`whence-${view}`}
          aria-labelledby={`whence-tab-${view}`}
          hidden={view !== now}
        >
          {view === "record" && made.current && <RecordView />}
          {view === now && view === "sources" && <SourcesView />}
          {view === now && view === "heatmap" && <HeatmapView />}
          {view === now && view === "heads" && <Attention />}
        </div>
      ))}
    </>
  );
}

/** Heads are there where attention was kept. */
function Attention() {
  const { loaded } = useViewer();
  if (loaded.explanation.attention !== null) return <HeadsView />;
  return (
    <p class="missing">
      This explanation holds no attention of single heads. An open-weights model can give it:{" "}
      <code>explain(…, attention=True)</code>.
    </p>
  );
}

function useKeys(on: boolean, help: () => void, frame: { current: HTMLDivElement | null }) {
  const { loaded, state, announce } = useViewer();
  const go = useMatch();
  return (event: KeyboardEvent) => {
    const at = event.target as HTMLElement;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (at.closest("input:not([type=checkbox]), select, textarea, dialog, .export")) return;
    if (event.key === "Escape") {
      if (state.choice.value === null) return;
      state.choice.value = null;
      announce("Nothing is chosen: the whole output");
    } else if (!on) return;
    else if (event.key === "?") help();
    else if (event.key === "/") frame.current?.querySelector<HTMLElement>("input[type=search]")?.focus();
    else if (event.key === "n") go(1);
    else if (event.key === "p") go(-1);
    else if (event.key === "m") {
      state.result.value = (state.result.value + 1) % loaded.results.length;
      announce(`Method ${loaded.result(state.result.value).told.method.name}`);
    } else {
      const view = VIEWS[Number(event.key) - 1];
      if (view === undefined) return;
      state.view.value = view;
      announce(NAMES[view]);
    }
    event.preventDefault();
  };
}
