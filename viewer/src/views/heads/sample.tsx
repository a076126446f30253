// How the lines of a head look: heads are told apart by 8 colours; 8 to 15 have curves besides, 16 to 31 the same again
// in wider lines.

export function isCurve(head: number): boolean {
  return head % 16 >= 8;
}

export function widthOf(head: number): number {
  return 1 + Math.floor(head / 16);
}

export function Sample({ head }: { head: number }) {
  return (
    <svg width="22" height="12" aria-hidden="true">
      <path
        d={isCurve(head) ? "M1 10C11 10 11 2 21 2" : "M1 10L21 2"}
        style={{ fill: "none", stroke: `var(--h${head % 8})`, strokeWidth: widthOf(head) + 0.75 }}
      />
    </svg>
  );
}
