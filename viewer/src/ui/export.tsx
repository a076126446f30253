// Export of what is seen: the view that is open says how, the menu asks for it and names the file.

import { useEffect, useRef } from "preact/hooks";
import { toCsv } from "../core/csv.js";
import { type Facts, factsOf, fileName } from "./export/facts.js";
import { recordExporter } from "./export/record.js";
import { useViewer, type Viewer } from "./viewer.js";

/** How a view is exported. Each gets the facts that belong on it; `csv` and `json` get them written for them. */
export interface Exporter {
  /** What it knows of itself better than the menu, or beside it. */
  facts?: () => Facts;
  png: (facts: Facts) => Blob | Promise<Blob>;
  svg: (facts: Facts) => string | Promise<string>;
  /** Rows of a table, the first of them its head. */
  csv: () => Row[] | Promise<Row[]>;
  /** What stands beside the facts. */
  json: () => object | Promise<object>;
}

export type Row = readonly (string | number)[];

const FORMATS = {
  png: ["Picture (PNG)", "image/png"],
  svg: ["Picture (SVG)", "image/svg+xml"],
  csv: ["Table (CSV)", "text/csv;charset=utf-8"],
  json: ["Data (JSON)", "application/json"],
} as const;
type Format = keyof typeof FORMATS;
const NAMES = Object.keys(FORMATS) as Format[];

/** The exporter of the view that is open, for each viewer of a page. */
const open = new WeakMap<Viewer, Exporter>();

/** Lets this view be exported while it is drawn. */
export function useExporter(exporter: Exporter): void {
  const viewer = useViewer();
  useEffect(() => {
    open.set(viewer, exporter);
  });
  useEffect(() => () => void open.delete(viewer), [viewer]);
}

export function ExportMenu() {
  const viewer = useViewer();
  const menu = useRef<HTMLDetailsElement>(null);
  const close = () => {
    if (menu.current === null) return;
    menu.current.open = false;
    menu.current.querySelector("summary")?.focus();
  };
  const choose = async (format: Format) => {
    close();
    try {
      viewer.announce(`Saved as ${await save(viewer, format)}.`);
    } catch (error) {
      viewer.announce(`Nothing was saved: ${error instanceof Error ? error.message : "the export failed"}.`);
    }
  };
  return (
    <details class="export" ref={menu} onKeyDown={(event) => event.key === "Escape" && close()}>
      <summary>Export</summary>
      <div>
        {NAMES.map((format) => (
          <button type="button" key={format} onClick={() => void choose(format)}>
            {FORMATS[format][0]}
          </button>
        ))}
      </div>
    </details>
  );
}

async function save(viewer: Viewer, format: Format): Promise<string> {
  const exporter = open.get(viewer) ?? recordExporter(viewer);
  const facts = factsOf(viewer, viewer.state.view.value, exporter.facts?.() ?? {});
  const name = fileName(facts, format);
  download(new Blob([await written(exporter, format, facts)], { type: FORMATS[format][1] }), name);
  return name;
}

async function written(exporter: Exporter, format: Format, facts: Facts): Promise<Blob | string> {
  if (format === "png") return exporter.png(facts);
  if (format === "svg") return exporter.svg(facts);
  if (format === "json") return JSON.stringify({ about: facts, ...(await exporter.json()) });
  const head = Object.entries(facts).map(([name, value]): Row => [`# ${name}`, value]);
  return toCsv([...head, ...(await exporter.csv())]);
}

function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Browsers read the blob after the click has been dealt with.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
