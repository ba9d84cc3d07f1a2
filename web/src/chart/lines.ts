/** One line of a chart. `colour` is a series token, `dash` its second encoding. Null where nothing was measured. */
export interface Series {
  readonly name: string
  readonly values: readonly (number | null)[]
  readonly colour: 1 | 2 | 3 | 4 | 5
  readonly dash?: readonly number[]
  /** Drawn stronger than the others: the line to watch. */
  readonly strong?: boolean
  /** Not drawn while it is zero, because a line that lies on the axis says nothing and hides it. */
  readonly sparse?: boolean
}

/** The part of a canvas that lines are drawn in, in px, and what its edges stand for. */
export interface Frame {
  readonly left: number
  readonly top: number
  readonly width: number
  readonly height: number
  /** Seconds since 1970 at the left and the right edge. */
  readonly from: number
  readonly to: number
  /** Value at the upper edge; the lower one is 0. */
  readonly max: number
}

export const xOf = (frame: Frame, second: number): number =>
  frame.left + ((second - frame.from) / Math.max(1e-9, frame.to - frame.from)) * frame.width

export const yOf = (frame: Frame, value: number): number => frame.top + frame.height * (1 - value / frame.max)

/** The values as they are drawn: of a sparse series only what is not zero, with the zero before and after it. */
export function drawnValues({ values, sparse }: Series): readonly (number | null)[] {
  if (!sparse) return values
  return values.map((value, index) =>
    value === 0 && !values[index - 1] && !values[index + 1] ? null : value,
  )
}

/** Draws one line; a value with nothing measured on either side has no line: it is a point. */
export function drawLine(
  canvas: CanvasRenderingContext2D,
  frame: Frame,
  { at, series, colour }: { at: readonly number[]; series: Series; colour: string },
): void {
  const values = drawnValues(series)
  canvas.strokeStyle = colour
  canvas.fillStyle = colour
  canvas.lineWidth = series.strong ? 2 : 1.25
  canvas.setLineDash([...(series.dash ?? [])])
  canvas.beginPath()
  for (let index = 0; index < at.length; index++) {
    const value = values[index]
    // Those before the left edge are left out, but the last of them: a line comes in from it.
    if (value == null || (at[index + 1] ?? frame.from) < frame.from) continue
    const [x, y] = [xOf(frame, at[index] as number), yOf(frame, value)]
    if (values[index - 1] != null) canvas.lineTo(x, y)
    else if (values[index + 1] != null) canvas.moveTo(x, y)
    else canvas.fillRect(x - 1.5, y - 1.5, 3, 3)
  }
  canvas.stroke()
  canvas.setLineDash([])
}
