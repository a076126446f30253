// Record and summary: a sentence of the output is chosen, and the record shows what stands behind it.

import { useViewer } from "../ui/viewer.js";

export function RecordView() {
  const { loaded } = useViewer();
  return (
    <main>
      {loaded.targets.map((_, at) => (
        <p>{loaded.targetText(at)}</p>
      ))}
    </main>
  );
}
