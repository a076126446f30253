// A canvas that is drawn again when its size, the resolution or the colours change.

import { useEffect, useRef } from "preact/hooks";
import { type Palette, readPalette } from "./palette.js";
import { canvasPen, type Pen } from "./pen.js";

export interface Stage {
  pen: Pen;
  /** In pixels of the style sheet, whatever the resolution. */
  width: number;
  height: number;
  /** Pixels of the screen for each of them. */
  ratio: number;
  /** It is read when it is asked for: that takes longer than to draw a line. */
  readonly palette: Palette;
}

/**
 * Draws on the canvas that the answer is given to as `ref`, after a rendering of the component where one of
 * `needs` has changed, or after every one.
 * The canvas needs a class with the style `canvas.css` of this folder, and a size of its own.
 */
export function useStage(draw: (stage: Stage) => void, needs?: readonly unknown[]) {
  const ref = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const canvas = ref.current;
    const context = canvas?.getContext("2d");
    if (!canvas || !context) return;
    const print = matchMedia("print");
    const now = () => {
      const { clientWidth: width, clientHeight: height } = canvas;
      if (width === 0 || height === 0) return;
      const ratio = devicePixelRatio;
      const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
      context.resetTransform();
      // To set a size clears the canvas, but takes long. On paper it is the only way: there Chromium writes down
      // what is drawn, and to clear a rectangle would clear what lies under the canvas too.
      if (canvas.width !== across || canvas.height !== down || print.matches) {
        canvas.width = across;
        canvas.height = down;
      } else context.clearRect(0, 0, across, down);
      context.scale(ratio, ratio);
      draw({
        pen: canvasPen(context),
        width,
        height,
        ratio,
        get palette() {
          return readPalette(canvas.parentElement ?? canvas);
        },
      });
    };
    // This tells of the size that there is too, once in the next frame: what changes together is drawn together.
    const sizes = new ResizeObserver(now);
    sizes.observe(canvas);
    // The canvas has the ink's colour, with a transition: whoever changes the scheme, its end tells of it.
    canvas.addEventListener("transitionend", now);
    // Paper has colours and a width of its own.
    print.addEventListener("change", now);
    return () => {
      sizes.disconnect();
      canvas.removeEventListener("transitionend", now);
      print.removeEventListener("change", now);
    };
  }, needs);
  return ref;
}
