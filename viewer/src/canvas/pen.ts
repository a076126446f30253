// What a picture is drawn with. One drawing serves the screen, a PNG and an SVG.

import { firstStrong, font } from "./label.js";

export interface TextStyle {
  fill: string;
  /** In pixels. */
  size?: number;
  bold?: boolean;
  align?: "left" | "center" | "right";
  /** In degrees, clockwise, around the point where the text begins or ends. */
  angle?: number;
}

type Stroke = (x1: number, y1: number, x2: number, y2: number, stroke: string, width?: number, opacity?: number) => void;

export interface Pen {
  rect(x: number, y: number, width: number, height: number, fill: string): void;
  line: Stroke;
  /** A smooth line between two points that leaves both horizontally. */
  curve: Stroke;
  /** One line of text, centred on `y`. */
  text(x: number, y: number, text: string, style: TextStyle): void;
  /** Pixels, each as large as the place makes it, with sharp edges. */
  image(x: number, y: number, width: number, height: number, pixels: ImageData): void;
  /** From now on the origin lies here, and nothing is drawn beyond this size. */
  within(x: number, y: number, width: number, height: number): void;
}

export function canvasPen(context: CanvasRenderingContext2D): Pen {
  const stroke = (curved: boolean): Stroke => (x1, y1, x2, y2, colour, width = 1, opacity = 1) => {
    const middle = (x1 + x2) / 2;
    context.globalAlpha = opacity;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(x1, y1);
    if (curved) context.bezierCurveTo(middle, y1, middle, y2, x2, y2);
    else context.lineTo(x2, y2);
    context.stroke();
    context.globalAlpha = 1;
  };
  return {
    rect(x, y, width, height, fill) {
      context.fillStyle = fill;
      context.fillRect(x, y, width, height);
    },
    line: stroke(false),
    curve: stroke(true),
    text(x, y, text, { fill, size, bold, align = "left", angle = 0 }) {
      context.save();
      context.translate(x, y);
      context.rotate((angle * Math.PI) / 180);
      context.font = font(size, bold);
      context.fillStyle = fill;
      context.textAlign = align;
      context.textBaseline = "middle";
      context.direction = firstStrong(text);
      context.fillText(text, 0, 0);
      context.restore();
    },
    image(x, y, width, height, pixels) {
      context.imageSmoothingEnabled = false;
      context.drawImage(imageOf(pixels), x, y, width, height);
    },
    within(x, y, width, height) {
      context.translate(x, y);
      context.beginPath();
      context.rect(0, 0, width, height);
      context.clip();
    },
  };
}

/** A canvas of this size, and what draws on it. */
export function newCanvas(width: number, height: number) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("the picture is too large");
  return { canvas, context };
}

/** Pixels as an image, one for one. */
export function imageOf(pixels: ImageData): HTMLCanvasElement {
  const { canvas, context } = newCanvas(pixels.width, pixels.height);
  context.putImageData(pixels, 0, 0);
  return canvas;
}
