// The viewer as a whole: what must always be in sight, the views, and what they have in common.

import { useEffect, useRef } from "preact/hooks";
import { HeadsView } from "../views/heads/index.js";
import { HeatmapView } from "../views/heatmap/index.js";
import { RecordView } from "../views/record/index.js";
import { SourcesView } from "../views/sources/index.js";
import { choose, chooseResult } from "./chosen.js";
import { useSignal } from "./draw.js";
import { ExportMenu } from "./export.js";
import { Header } from "./header.js";
import { Help } from "./help.js";
import { walk } from "./pickers.js";
import { type View, VIEWS } from "./state.js";
import { Options, Search, useMatch } from "./toolbar.js";
import { useViewer } from "./viewer.js";

const SHOWN: Record<View, { name: string; Drawn: () => preact.JSX.Element }> = {
  record: { name: "Record and summary", Drawn: RecordView },
  sources: { name: "Sources", Drawn: SourcesView },
  heatmap: { name: "Heatmap", Drawn: HeatmapView },
  heads: { name: "Heads", Drawn: Attention },
};

export function App() {
  const viewer = useViewer();
  const { loaded, state, announce, root, told } = viewer;
  const go = useMatch();
  const frame = useRef<HTMLDivElement>(null);
  const help = useSignal(false);
  const keys = useSignal(true);
  const Main = root instanceof Document ? "main" : "div";
  const show = (view: View | undefined) => {
    if (view === undefined || view === state.view.value) return;
    state.view.value = view;
    announce(SHOWN[view].name);
  };
  const letters: Record<string, () => void> = {
    "?": () => (help.value = true),
    "/": () => frame.current?.querySelector<HTMLElement>("[type=search]")?.focus(),
    n: () => go(1),
    p: () => go(-1),
    m: () => chooseResult(viewer, (state.result.value + 1) % loaded.results.length),
  };
  VIEWS.forEach((view, at) => (letters[at + 1] = () => show(view)));
  const byKey = useRef(false);
  useEffect(() => {
    // What had the focus may be gone with its view, or hidden: then the keys would be nobody's.
    const focused = (root as DocumentOrShadowRoot).activeElement;
    if (byKey.current && (!frame.current?.contains(focused) || focused?.closest("[hidden]"))) frame.current?.focus();
    byKey.current = false;
  }, [state.view.value, state.result.value]);
  const pressed = (event: KeyboardEvent) => {
    const { key, target, defaultPrevented, ctrlKey, metaKey, altKey } = event;
    if (defaultPrevented || ctrlKey || metaKey || altKey) return;
    if ((target as HTMLElement).closest("input:not([type=checkbox]), select, textarea, dialog, .export")) return;
    if (key === "Escape" && state.choice.value !== null) choose(viewer, null);
    else if (keys.value && Object.hasOwn(letters, key)) {
      byKey.current = true;
      letters[key]?.();
    }
    else return;
    event.preventDefault();
  };
  return (
    <div class="whence" ref={frame} tabIndex={-1} onKeyDown={pressed}>
      <Header />
      <Main class="body">
        <div class="bar">
          <Tabs show={show} />
          <Search />
          <ExportMenu />
          <button aria-haspopup="dialog" onClick={() => (help.value = true)}>
            Keys
          </button>
        </div>
        <div class="main">
          <Options />
          <Panels />
        </div>
      </Main>
      <p class="told" role="status">
        {told.value}
      </p>
      <Help open={help} keys={keys} />
    </div>
  );
}

function Tabs({ show }: { show: (view: View | undefined) => void }) {
  const { state } = useViewer();
  const now = state.view.value;
  return (
    <nav aria-label="Views" onKeyDown={walk}>
      <div role="tablist">
        {VIEWS.map((view) => (
          <button
            role="tab"
            id={`whence-tab-${view}`}
            aria-selected={now === view}
            aria-controls={`whence-${view}`}
            tabIndex={now === view ? 0 : -1}
            onClick={() => show(view)}
            onFocus={() => show(view)}
          >
            {SHOWN[view].name}
          </button>
        ))}
      </div>
    </nav>
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
      {VIEWS.map((view) => {
        const { Drawn } = SHOWN[view];
        return (
          <div
            key={view}
            class="panel"
            role="tabpanel"
            id={`whence-${view}`}
            aria-labelledby={`whence-tab-${view}`}
            hidden={view !== now}
          >
            {(view === now || (view === "record" && made.current)) && <Drawn />}
          </div>
        );
      })}
    </>
  );
}

/** Heads are there where attention was kept. */
function Attention() {
  if (useViewer().loaded.explanation.attention?.length) return <HeadsView />;
  return (
    <p class="missing quiet">
      No attention of single heads was kept: an open-weights model gives it with <code>attention=True</code>.
    </p>
  );
}
