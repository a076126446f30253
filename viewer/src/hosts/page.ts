// The page that the service serves.

import { startPage } from "../page/start.js";

startPage(document.body);
