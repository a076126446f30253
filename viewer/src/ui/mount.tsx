// Puts the viewer where a host wants it.

import { render } from "preact";
import { type Given, load } from "../core/model.js";
import { App } from "./app.js";
import { createState } from "./state.js";
import { STYLES } from "./styles.js";
import { type Viewer, ViewerContext } from "./viewer.js";

/** Draw an explanation into `place`, whose styles belong to `root`. Resolves when it is drawn; the answer undoes it. */
export async function mount(root: Document | ShadowRoot, place: Element, given: Given): Promise<() => void> {
  // A style element would need a policy that allows one; a sheet that a script made does not.
  const sheets = STYLES.map((css) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    return sheet;
  });
  root.adoptedStyleSheets = [...root.adoptedStyleSheets, ...sheets];
  const viewer: Viewer = { loaded: await load(given), state: createState(), root, announce: () => {} };
  render(
    <ViewerContext.Provider value={viewer}>
      <App />
    </ViewerContext.Provider>,
    place,
  );
  return () => {
    render(null, place);
    root.adoptedStyleSheets = root.adoptedStyleSheets.filter((own) => !sheets.includes(own));
  };
}
