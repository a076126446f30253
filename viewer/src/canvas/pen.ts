// What a picture is drawn with. One drawing serves the screen, a PNG and an SVG.

import { firstStrong } from "./label.js";

export interface TextStyle {
  fill: string;
  /** In pixels. */
  size?: number;
  bold?: boolean;
  align?: "left" | "center" | "right";
  /** In degrees, clockwise, around the point where the text begins or ends. */
  angle?: number;
}

export interface Pen {
  rect(x: number, y: number, width: number, height: number, fill: string): void;
  line(x1: number, y1: number, x2: number, y2: number, stroke: string, width?: number, opacity?: number): void;
  /** A smooth line between two points that leaves both horizontally. */
  curve(x1: number, y1: number, x2: number, y2: number, stroke: string, width?: number, opacity?: number): void;
  /** One line of text, centred on `y`. */
  text(x: number, y: number, text: string, style: TextStyle): void;
  /** Pixels, each as large as the place makes it, with sharp edges. */
  image(x: number, y: number, width: number, height: number, pixels: ImageData): void;
}

export const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", Arial, sans-serif';

export function font(size = 12, bold = false): string {
  return `${bold ? "600 " : ""}${size}px ${FONT}`;
}

export class CanvasPen implements Pen {
  constructor(private readonly context: CanvasRenderingContext2D) {}

  rect(x: number, y: number, width: number, height: number, fill: string): void {
    this.context.fillStyle = fill;
    this.context.fillRect(x, y, width, height);
  }

  line(x1: number, y1: number, x2: number, y2: number, stroke: string, width = 1, opacity = 1): void {
    this.stroke(stroke, width, opacity, () => this.context.lineTo(x2, y2), x1, y1);
  }

  curve(x1: number, y1: number, x2: number, y2: number, stroke: string, width = 1, opacity = 1): void {
    const middle = (x1 + x2) / 2;
    this.stroke(stroke, width, opacity, () => this.context.bezierCurveTo(middle, y1, middle, y2, x2, y2), x1, y1);
  }

  text(x: number, y: number, text: string, { fill, size, bold, align = "left", angle = 0 }: TextStyle): void {
    const { context } = this;
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
  }

  image(x: number, y: number, width: number, height: number, pixels: ImageData): void {
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(canvasOf(pixels), x, y, width, height);
  }

  private stroke(stroke: string, width: number, opacity: number, path: () => void, x: number, y: number): void {
    const { context } = this;
    context.globalAlpha = opacity;
    context.strokeStyle = stroke;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(x, y);
    path();
    context.stroke();
    context.globalAlpha = 1;
  }
}

/** Pixels as an image, one for one. */
export function canvasOf(pixels: ImageData): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  canvas.getContext("2d")?.putImageData(pixels, 0, 0);
  return canvas;
}
