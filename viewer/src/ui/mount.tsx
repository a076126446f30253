// Puts the viewer where a host wants it.

import { computed, signal } from "@preact/signals-core";
import { type Given, load } from "../core/model.js";
import { keepAddress, type Prefix } from "./address.js";
import { adopt } from "./adopt.js";
import { App } from "./app.js";
import { chosenOf, wholeOf } from "./chosen.js";
import { draw } from "./draw.js";
import { foundOf } from "./found.js";
import { createState } from "./state.js";
import { STYLES } from "./styles.js";
import { type Viewer, ViewerContext } from "./viewer.js";

export interface MountOptions {
  /**
   * Keep the state in the page's address, where the page is the viewer's own, after this: it is followed, and
   * written, only where it begins so.
   */
  address?: Prefix | undefined;
}

/** Draw an explanation into `place`, whose styles belong to `root`. Resolves when it is drawn; the answer undoes it. */
export async function mount(
  root: Document | ShadowRoot,
  place: HTMLElement,
  given: Given,
  { address }: MountOptions = {},
): Promise<() => void> {
  const loaded = await load(given);
  const state = createState();
  const leaveAddress = address ? keepAddress(state, loaded, address) : () => {};
  const leaveStyles = STYLES.map((css) => adopt(root, css));
  const told = signal("");
  const whole = computed(() => wholeOf(loaded, state));
  const viewer: Viewer = {
    loaded,
    state,
    root,
    told,
    // The same text again is told again only where it differs.
    announce: (text) => (told.value = text === told.peek() ? `${text}\xa0` : text),
    chosen: computed(() => chosenOf(loaded, state, whole)),
    whole,
    found: foundOf(loaded, state),
    jump: signal(null),
  };
  const tree = () => (
    <ViewerContext.Provider value={viewer}>
      <App />
    </ViewerContext.Provider>
  );
  const leaveTree = draw(tree, place);
  return () => {
    leaveTree();
    leaveAddress();
    leaveStyles.forEach((leave) => leave());
  };
}
