// The ranking of the sources as a file.

import { percent, step } from "../../core/scale.js";
import type { Exporter } from "../../ui/export.js";
import { factsOfEvidence } from "../../ui/export/record.js";
import { laid, WIDTH } from "../../ui/export/shaded.js";
import { drawn } from "../../ui/export/sheet.js";
import type { Viewer } from "../../ui/viewer.js";
import type { Row } from "./rows.js";

export function sourcesExporter(viewer: Viewer, title: string, rows: readonly Row[]): Exporter {
  const blocks = rows.map(({ name, share, fate }) => {
    const known = share === null ? "–" : percent(share);
    return { title: name, pieces: [{ text: ` ${known} `, step: step(share ?? 0) }, { text: ` ${fate}`, step: 0 }] };
  });
  return {
    facts: () => factsOfEvidence(viewer),
    ...drawn(viewer, () => ({ width: WIDTH, ...laid(blocks), title })),
    csv: () => [
      ["source", "share", "retrieval score", "retrieved as", "what became of it"],
      ...rows.map(({ name, share, score, rank, fate }) => [name, share ?? "", score ?? "", rank ?? "", fate]),
    ],
  };
}
