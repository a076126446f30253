// A canvas that is drawn again when its size, the resolution or the colours change, at most once for a frame.

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
  palette: Palette;
}

/**
 * Draws on the canvas that the answer is given to as `ref`, after a rendering of the component where one of
 * `needs` has changed, or after every one.
 * The canvas needs a class with the style `canvas.css` of this folder, and a size of its own.
 */
export function useStage(draw: (stage: Stage) => void, needs?: readonly unknown[]) {
  const ref = useRef<HTMLCanvasElement>(null);
  const drawer = useRef(draw);
  const redraw = useRef(() => {});
  drawer.current = draw;

  useEffect(() => {
    const canvas = ref.current;
    const context = canvas?.getContext("2d") ?? null;
    if (canvas === null || context === null) return;
    const print = matchMedia("print");
    let palette: Palette | null = null;
    let frame = 0;
    const now = () => {
      cancelAnimationFrame(frame);
      frame = 0;
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
      palette ??= readPalette(canvas.parentElement ?? canvas);
      context.scale(ratio, ratio);
      drawer.current({ pen: canvasPen(context), width, height, ratio, palette });
    };
    const soon = () => {
      if (frame === 0) frame = requestAnimationFrame(now);
    };
    // The canvas has the ink's colour, with a transition: whoever changes the scheme, its end tells of it. Paper
    // has colours and a width of its own, and waits for no frame.
    const recoloured = ({ type }: Event) => {
      palette = null;
      if (type === "change") now();
      else soon();
    };
    redraw.current = soon;
    soon();
    const sizes = new ResizeObserver(soon);
    sizes.observe(canvas);
    canvas.addEventListener("transitionend", recoloured);
    print.addEventListener("change", recoloured);
    return () => {
      cancelAnimationFrame(frame);
      redraw.current = () => {};
      sizes.disconnect();
      canvas.removeEventListener("transitionend", recoloured);
      print.removeEventListener("change", recoloured);
    };
  }, []);

  useEffect(() => redraw.current(), needs);
  return ref;
}
