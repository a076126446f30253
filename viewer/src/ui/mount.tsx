// Puts the viewer where a host wants it.

import { computed, effect, type ReadonlySignal, signal } from "@preact/signals-core";
import { type Given, load } from "../core/model.js";
import { keepAddress } from "./address.js";
import { adopt } from "./adopt.js";
import { App } from "./app.js";
import { chosenOf, wholeOf } from "./chosen.js";
import { draw } from "./draw.js";
import { foundOf } from "./found.js";
import { createState } from "./state.js";
import { STYLES } from "./styles.js";
import { type Viewer, ViewerContext } from "./viewer.js";

export interface MountOptions {
  /** Keep the state in the page's address: where the page is the viewer's own. */
  address?: boolean;
  /** Whether the host is dark, where it says so by other means than the browser's preference. */
  dark?: ReadonlySignal<boolean>;
}

/** Draw an explanation into `place`, whose styles belong to `root`. Resolves when it is drawn; the answer undoes it. */
export async function mount(
  root: Document | ShadowRoot,
  place: HTMLElement,
  given: Given,
  { address = false, dark: dictated }: MountOptions = {},
): Promise<() => void> {
  const loaded = await load(given);
  const state = createState();
  const leaveAddress = address ? keepAddress(state, loaded) : () => {};
  const leaveStyles = STYLES.map((css) => adopt(root, css));
  const preferred = preference();
  const dark = dictated ?? preferred.dark;
  const leaveScheme = effect(() => {
    if (dictated !== undefined) place.style.setProperty("color-scheme", dictated.value ? "dark" : "light");
  });
  const told = signal("");
  const whole = computed(() => wholeOf(loaded, state));
  const viewer: Viewer = {
    loaded,
    state,
    root,
    dark,
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
    leaveScheme();
    preferred.leave();
    leaveStyles.forEach((leave) => leave());
  };
}

function preference() {
  const asked = matchMedia("(prefers-color-scheme: dark)");
  const dark = signal(asked.matches);
  const follow = () => (dark.value = asked.matches);
  asked.addEventListener("change", follow);
  return { dark, leave: () => asked.removeEventListener("change", follow) };
}
