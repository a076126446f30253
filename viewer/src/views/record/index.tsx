// Record and summary: a part of the output is chosen, and the record shows what stands behind it; or a passage
// is chosen, and the output shows where it counted.

import { useRef } from "preact/hooks";
import { Answer } from "./answer.js";
import { Legend } from "./legend.js";
import { Sources } from "./sources.js";
import { Summary } from "./summary.js";

export function RecordView() {
  /** Where a line tells of what the pointer, or the focus, is on: written by hand, for it changes with each move. */
  const line = useRef<HTMLParagraphElement>(null);
  const read = (text: string) => {
    if (line.current !== null) line.current.textContent = text || "\xa0";
  };
  return (
    <div class="record-view">
      <div class="pane">
        <Answer read={read} />
        <Summary />
      </div>
      <div class="pane">
        <Legend />
        <Sources read={read} />
      </div>
      <p class="reading" id="whence-reading" ref={line}>
        {"\xa0"}
      </p>
    </div>
  );
}
