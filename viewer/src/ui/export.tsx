// Export of what is seen: the view that is open says how, the menu asks for it and names the file.

import { useEffect, useRef } from "preact/hooks";
import { toCsv } from "../core/csv.js";
import { download } from "./download.js";
import { type Facts, factsOf, fileName } from "./export/facts.js";
import { recordExporter } from "./export/record.js";
import { useSignal } from "./draw.js";
import { useViewer, type Viewer } from "./viewer.js";

/** How a view is exported. Each gets the facts that belong on it; the table is written as CSV, and as JSON. */
export interface Exporter {
  /** What it knows of itself better than the menu, or beside it. */
  facts?: () => Facts;
  png: (facts: Facts) => Blob | Promise<Blob>;
  svg: (facts: Facts) => string | Promise<string>;
  /** Rows of a table, the first of them its head. */
  csv: () => Row[] | Promise<Row[]>;
  /** What JSON has room for besides. */
  more?: () => object;
}

export type Row = readonly (string | number)[];

type Written = (exporter: Exporter, facts: Facts) => Blob | string | Promise<Blob | string>;
const FORMATS: Record<string, readonly [string, string, Written]> = {
  png: ["Picture (PNG)", "image/png", ({ png }, facts) => png(facts)],
  svg: ["Picture (SVG)", "image/svg+xml", ({ svg }, facts) => svg(facts)],
  csv: ["Table (CSV)", "text/csv", async ({ csv }, facts) => toCsv([...told(facts), ...(await csv())])],
  json: [
    "Data (JSON)",
    "application/json",
    async ({ csv, more }, facts) => {
      const [columns, ...rows] = await csv();
      return JSON.stringify({ about: facts, columns, rows, ...more?.() });
    },
  ],
};

function told(facts: Facts): Row[] {
  return Object.entries(facts).map(([name, value]) => [`# ${name}`, value]);
}

/** The exporter of the view that is open, for each viewer of a page. */
const open = new WeakMap<Viewer, Exporter>();

/** Lets this view be exported while it is drawn. */
export function useExporter(exporter: Exporter): void {
  const viewer = useViewer();
  useEffect(() => {
    open.set(viewer, exporter);
    return () => void open.delete(viewer);
  });
}

export function ExportMenu() {
  const viewer = useViewer();
  const menu = useRef<HTMLDetailsElement>(null);
  const failed = useSignal("");
  const close = () => {
    if (menu.current === null) return;
    menu.current.open = false;
    (menu.current.firstChild as HTMLElement).focus();
  };
  const save = async (ending: string, type: string, written: Written) => {
    close();
    failed.value = "";
    try {
      const exporter = viewer.state.view.value === "record" ? recordExporter(viewer) : open.get(viewer);
      if (exporter === undefined) throw new Error("there is no picture");
      const facts = factsOf(viewer, exporter.facts?.() ?? {});
      const name = fileName(facts, ending);
      download(new Blob([await written(exporter, facts)], { type }), name);
      viewer.announce(`Saved as ${name}.`);
    } catch (error) {
      failed.value = `Nothing was saved: ${(error as Error).message}.`;
    }
  };
  return (
    <>
      <details class="export" ref={menu} onKeyDown={(event) => event.key === "Escape" && close()}>
        <summary>Export</summary>
        <div>
          {Object.entries(FORMATS).map(([ending, [name, type, written]]) => (
            <button onClick={() => void save(ending, type, written)}>
              {name}
            </button>
          ))}
        </div>
      </details>
      <strong role="alert">{failed.value}</strong>
    </>
  );
}
