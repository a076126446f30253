// Which part of a matrix is seen: [x, x + across) of its columns, [y, y + down) of its rows.

export interface Camera {
  x: number;
  y: number;
  across: number;
  down: number;
}

/** The place of the picture on the canvas, in pixels. */
export interface Frame {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Cells are drawn no larger: few cells need not fill a screen. */
export const LARGEST = 64;

export function whole(rows: number, columns: number): Camera {
  return { x: 0, y: 0, across: columns, down: rows };
}

/** Nearer (factor above 1) or farther; the point at this part of the picture, 0 to 1, stays where it is. */
export function zoomed(camera: Camera, factor: number, atX: number, atY: number, rows: number, columns: number, frame: Frame): Camera {
  const across = clamp(camera.across / factor, Math.min(columns, frame.width / LARGEST), columns);
  const down = clamp(camera.down / factor, Math.min(rows, frame.height / LARGEST), rows);
  const x = camera.x + atX * (camera.across - across);
  const y = camera.y + atY * (camera.down - down);
  return within({ x, y, across, down }, rows, columns);
}

/** Moved by so many columns and rows. */
export function panned(camera: Camera, columnsBy: number, rowsBy: number, rows: number, columns: number): Camera {
  return within({ ...camera, x: camera.x + columnsBy, y: camera.y + rowsBy }, rows, columns);
}

/** Moved as little as shows this cell in full. */
export function showing(camera: Camera, row: number, column: number, rows: number, columns: number): Camera {
  const x = clamp(camera.x, column + 1 - camera.across, column);
  const y = clamp(camera.y, row + 1 - camera.down, row);
  return x === camera.x && y === camera.y ? camera : within({ ...camera, x, y }, rows, columns);
}

/** The cell at a point of the canvas; null beside the picture. */
export function cellAt(camera: Camera, { left, top, width, height }: Frame, x: number, y: number) {
  const [inX, inY] = [(x - left) / width, (y - top) / height];
  if (!(inX >= 0 && inX < 1 && inY >= 0 && inY < 1)) return null;
  return { row: Math.floor(camera.y + inY * camera.down), column: Math.floor(camera.x + inX * camera.across) };
}

function within({ across, down, x, y }: Camera, rows: number, columns: number): Camera {
  return { across, down, x: clamp(x, 0, columns - across), y: clamp(y, 0, rows - down) };
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value));
}
