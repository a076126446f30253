// All styles, each beside what it styles.

import record from "../views/record.css";
import viewer from "./viewer.css";

export const STYLES: readonly string[] = [viewer, record];
