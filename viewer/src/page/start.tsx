// Puts the page into the document.

import { render } from "preact";
import viewer from "../ui/viewer.css";
import { App } from "./app.js";
import own from "./page.css";
import { adopt } from "../ui/adopt.js";
import { createPage } from "./work.js";

export function startPage(body: HTMLElement): void {
  adopt(document, viewer);
  adopt(document, own);
  const page = createPage();
  const place = body.appendChild(document.createElement("div"));
  page.keepPrice();
  render(<App page={page} />, place);
  void page.loadModels().finally(() => (document.documentElement.dataset["ready"] = ""));
}
