// Puts the page into the document.

import viewer from "../ui/viewer.css";
import { App } from "./app.js";
import own from "./page.css";
import { adopt } from "../ui/adopt.js";
import { draw } from "../ui/draw.js";
import { createPage } from "./work.js";

export function startPage(body: HTMLElement): void {
  adopt(document, viewer);
  adopt(document, own);
  const page = createPage();
  const place = body.appendChild(document.createElement("div"));
  page.keepPrice();
  draw(() => <App page={page} />, place);
  addEventListener("popstate", () => void page.follow());
  void page.start().finally(() => (document.documentElement.dataset["ready"] = ""));
}
