// All styles, each beside what it styles.

import canvas from "../canvas/canvas.css";
import heads from "../views/heads/heads.css";
import heatmap from "../views/heatmap/heatmap.css";
import record from "../views/record/record.css";
import sources from "../views/sources/sources.css";
import exports from "./export.css";
import shell from "./shell.css";
import viewer from "./viewer.css";

export const STYLES: readonly string[] = [viewer, shell, canvas, exports, heads, heatmap, record, sources];
