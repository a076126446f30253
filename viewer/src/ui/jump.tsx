// A link to a passage: to its place in the record.

import { useViewer } from "./viewer.js";

export function Jump({ segment, name }: { segment: number; name: string | undefined }) {
  const { state, jump } = useViewer();
  const go = () => {
    state.view.value = "record";
    jump.value = segment;
  };
  return (
    <button class="jump" title="Show in the record" onClick={go}>
      <bdi>{name}</bdi>
    </button>
  );
}
