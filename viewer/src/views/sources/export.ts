// The ranking of the sources as a file.

import { percent, quantity } from "../../core/scale.js";
import type { Exporter } from "../../ui/export.js";
import { factsOfEvidence } from "../../ui/export/record.js";
import { laid, WIDTH } from "../../ui/export/shaded.js";
import { drawn } from "../../ui/export/sheet.js";
import type { Viewer } from "../../ui/viewer.js";
import type { Row } from "./rows.js";

export function sourcesExporter(viewer: Viewer, title: string, rows: readonly Row[], steps: Int8Array): Exporter {
  const blocks = rows.map(({ name, share, score, fate }, at) => {
    const known = share === null ? "–" : percent(share);
    const more = [score !== null && `retrieval score ${quantity(score)}`, fate].filter(Boolean).join("; ");
    return { title: name, pieces: [{ text: ` ${known} `, step: steps[at]! }, { text: ` ${more}`, step: 0 }] };
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
