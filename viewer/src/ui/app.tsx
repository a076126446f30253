// The viewer as a whole: what must always be in sight, the views, and what they have in common.

import { useViewer } from "./viewer.js";
import { VIEWS, type View } from "./state.js";
import { RecordView } from "../views/record.js";

const NAMES: Record<View, string> = {
  record: "Record and summary",
  sources: "Sources",
  heatmap: "Heatmap",
  heads: "Heads",
};

export function App() {
  const { state } = useViewer();
  return (
    <div class="whence">
      <nav aria-label="Views">
        {VIEWS.map((view) => (
          <button type="button" aria-pressed={state.view.value === view} onClick={() => (state.view.value = view)}>
            {NAMES[view]}
          </button>
        ))}
      </nav>
      {state.view.value === "record" && <RecordView />}
    </div>
  );
}
