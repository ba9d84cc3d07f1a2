import uPlot from 'uplot'
import { formatTimeOfDay } from '../design/design.ts'

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

/** The colours of a chart as the page paints them at the moment, in its theme and with forced colours. */
interface Paint {
  readonly axis: string
  readonly grid: string
  readonly series: readonly string[]
}

/** Reads tokens as the browser computes them: a canvas understands no `var()` and no `light-dark()`. */
function readPaint(host: HTMLElement, series: readonly Series[]): Paint {
  const probe = host.ownerDocument.createElement('span')
  probe.hidden = true
  host.append(probe)
  const computed = (token: string) => {
    probe.style.color = `var(--${token})`
    return getComputedStyle(probe).color
  }
  const paint = {
    axis: computed('faint'),
    grid: computed('hairline'),
    series: series.map(({ colour }) => computed(`series-${colour}`)),
  }
  probe.remove()
  return paint
}

export interface PlotNeeds {
  readonly host: HTMLElement
  readonly series: readonly Series[]
  readonly height: number
  /** Charts of one key share their cursor. */
  readonly cursorKey: string
  readonly spanSeconds: number
  readonly format: (value: number) => string
  /** The point under the cursor; null when the cursor leaves. */
  readonly onCursor: (index: number | null) => void
  /** True if the axis counts bytes, whose round numbers are powers of two. */
  readonly binary: boolean
}

export interface Plot extends Disposable {
  update(at: readonly number[], series: readonly Series[]): void
  resize(width: number): void
  /** Draws again with the colours of the theme that holds now. */
  repaint(): void
  /** Puts the cursor on a point, as the mouse would; null takes it away. */
  point(index: number | null): void
}

/** The values as they are drawn: of a sparse series only what is not zero, with the zero before and after it. */
function drawn({ values, sparse }: Series): readonly (number | null)[] {
  if (!sparse) return values
  return values.map((value, index) =>
    value === 0 && !values[index - 1] && !values[index + 1] ? null : value,
  )
}

const aligned = (at: readonly number[], series: readonly Series[]) =>
  [at, ...series.map(drawn)] as unknown as uPlot.AlignedData

/** Indexes of the values that have no neighbour. */
function lonely(values: ArrayLike<number | null | undefined>): number[] {
  const found: number[] = []
  for (let index = 0; index < values.length; index++)
    if (values[index] != null && values[index - 1] == null && values[index + 1] == null) found.push(index)
  return found
}

const powersOfTwo = Array.from({ length: 48 }, (_, power) => 2 ** power)

// Wide enough for the longest label; 7 px is about a figure at 12 px.
const labelsPx = (_: uPlot, labels: string[] | null) =>
  Math.max(36, 12 + 7 * Math.max(0, ...(labels ?? []).map((label) => label.length)))

// Seconds only where the labels stand closer than a minute.
const clockLabels: uPlot.Axis.DynamicValues = (_self, splits, _axis, _space, stepSeconds) =>
  splits.map((second) => formatTimeOfDay(second, stepSeconds % 60 !== 0))

function axes(paint: () => Paint, format: (value: number) => string, binary: boolean): uPlot.Axis[] {
  const font = '12px system-ui, -apple-system, "Segoe UI", Roboto, Inter, sans-serif'
  const shared: uPlot.Axis = { font, stroke: () => paint().axis, ticks: { show: false } }
  return [
    { ...shared, space: 60, size: 26, gap: 6, grid: { show: false }, values: clockLabels },
    {
      ...shared,
      size: labelsPx,
      ...(binary ? { incrs: powersOfTwo } : {}),
      gap: 6,
      space: 36,
      grid: { stroke: () => paint().grid, width: 1 },
      values: (_, splits) => splits.map((split) => format(split)),
    },
  ]
}

/** Draws live lines on a canvas in `host`. */
export function openPlot({
  host,
  series,
  height,
  cursorKey,
  spanSeconds,
  format,
  onCursor,
  binary,
}: PlotNeeds): Plot {
  let paint = readPaint(host, series)
  const plot = new uPlot(
    {
      width: Math.max(host.clientWidth, 120),
      height,
      padding: [8, 30, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: cursorKey }, points: { size: 6 } },
      scales: {
        // The window slides. While a server is young it is as wide as what there is, at least a minute.
        x: { range: (_, min, max) => [max - Math.min(spanSeconds, Math.max(60, max - min)), max] },
        y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] },
      },
      axes: axes(() => paint, format, binary),
      series: [
        {},
        ...series.map(({ name, dash, strong }, index) => ({
          label: name,
          stroke: () => paint.series[index] ?? 'currentColor',
          width: strong ? 2 : 1.25,
          // A value with nothing measured on either side has no line: it is a point.
          points: {
            show: true,
            size: 3,
            filter: (self: uPlot, shown: number) => lonely(self.data[shown] ?? []),
          },
          ...(dash ? { dash: [...dash] } : {}),
        })),
      ],
      hooks: {
        setCursor: [
          (self) =>
            onCursor(
              self.cursor.left !== undefined && self.cursor.left >= 0 ? (self.cursor.idx ?? null) : null,
            ),
        ],
      },
    },
    aligned([], series),
    host,
  )
  return {
    update: (at, next) => plot.setData(aligned(at, next)),
    resize: (width) => plot.setSize({ width, height }),
    repaint: () => {
      paint = readPaint(host, series)
      plot.redraw(false)
    },
    point: (index) => {
      const at = index === null ? undefined : plot.data[0][index]
      plot.setCursor({
        left: at === undefined ? -10 : plot.valToPos(at, 'x'),
        top: at === undefined ? -10 : height / 3,
      })
    },
    [Symbol.dispose]: () => plot.destroy(),
  }
}
