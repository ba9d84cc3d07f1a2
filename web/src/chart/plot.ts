import { formatTimeOfDay } from '../design/design.ts'
import { drawLine, drawnValues, type Frame, type Series, xOf, yOf } from './lines.ts'
import { nearest, timeTicks, valueTicks } from './ticks.ts'

export type { Series } from './lines.ts'

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
  /** In px. */
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

/** In px: the room around the lines for labels, and between these. */
const room = { top: 8, right: 30, bottom: 26, labelMin: 36, perLabelX: 64, perLabelY: 36 } as const
const font = '12px system-ui, -apple-system, "Segoe UI", Roboto, Inter, sans-serif'
const widthMin = 120

/** Draws live lines on a canvas in `host`. */
export const openPlot = (needs: PlotNeeds): Plot => new CanvasPlot(needs)

/**
 * A plot of lines over the last seconds. It is drawn whole, at most once per frame: a few thousand points take less than
 * a millisecond. Its cursor is an event on the window, which every plot of its key hears.
 */
class CanvasPlot implements Plot {
  readonly #needs: PlotNeeds
  readonly #canvas: HTMLCanvasElement
  readonly #ended = new AbortController()
  #paint: Paint
  #series: readonly Series[]
  #at: readonly number[] = []
  #width: number
  #frame: Frame | undefined
  /** Where the pointer rests, in px from the left: what lies under it changes as time goes on. */
  #pointerX: number | undefined
  /** Where the cursor stands, in seconds since 1970. */
  #cursor: number | undefined
  #drawing = 0

  constructor(needs: PlotNeeds) {
    const { host, series, cursorKey } = needs
    this.#needs = needs
    this.#series = series
    this.#paint = readPaint(host, series)
    this.#width = Math.max(host.clientWidth, widthMin)
    this.#canvas = host.ownerDocument.createElement('canvas')
    this.#canvas.className = 'block'
    host.append(this.#canvas)
    const { signal } = this.#ended
    this.#canvas.addEventListener('pointermove', (moved) => this.#hover(moved.offsetX), { signal })
    this.#canvas.addEventListener('pointerleave', () => this.#hover(undefined), { signal })
    window.addEventListener(
      `cursor:${cursorKey}`,
      (told) => this.#take((told as CustomEvent<number | undefined>).detail),
      { signal },
    )
    this.#soon()
  }

  update(at: readonly number[], series: readonly Series[]): void {
    this.#at = at
    this.#series = series
    this.#frame = undefined
    if (this.#pointerX !== undefined) this.#hover(this.#pointerX)
    else if (this.#cursor !== undefined) this.#take(this.#cursor)
    this.#soon()
  }

  resize(width: number): void {
    this.#width = Math.max(width, widthMin)
    this.#soon()
  }

  repaint(): void {
    this.#paint = readPaint(this.#needs.host, this.#series)
    this.#soon()
  }

  point(index: number | null): void {
    this.#tell(index === null ? undefined : this.#at[index])
  }

  [Symbol.dispose](): void {
    this.#ended.abort()
    cancelAnimationFrame(this.#drawing)
    this.#canvas.remove()
  }

  #hover(x: number | undefined): void {
    this.#pointerX = x
    const frame = this.#framed()
    const isInside = x !== undefined && x >= frame.left && x <= frame.left + frame.width
    const second = isInside
      ? frame.from + ((x - frame.left) / frame.width) * (frame.to - frame.from)
      : undefined
    this.#tell(second)
  }

  #tell(second: number | undefined): void {
    window.dispatchEvent(new CustomEvent(`cursor:${this.#needs.cursorKey}`, { detail: second }))
  }

  #take(second: number | undefined): void {
    // What has slid out of the window has no cursor any more.
    this.#cursor = second !== undefined && second >= this.#framed().from ? second : undefined
    this.#needs.onCursor(this.#index() ?? null)
    this.#soon()
  }

  #index(): number | undefined {
    return this.#cursor === undefined ? undefined : nearest(this.#at, this.#cursor)
  }

  #soon(): void {
    cancelAnimationFrame(this.#drawing)
    this.#drawing = requestAnimationFrame(() => this.#draw())
  }

  /** What the edges stand for. The window slides; of a young server it is as wide as what there is, at least a minute. */
  #framed(): Frame {
    if (this.#frame) return this.#frame
    const { spanSeconds, format, height, binary } = this.#needs
    const to = this.#at.at(-1) ?? 0
    const from = to - Math.min(spanSeconds, Math.max(60, to - (this.#at[0] ?? to)))
    let highest = 0
    for (const { values } of this.#series)
      for (let index = this.#at.length - 1; index >= 0 && (this.#at[index] as number) >= from; index--)
        highest = Math.max(highest, values[index] ?? 0)
    const max = highest > 0 ? highest * 1.1 : 1
    const lineHeight = height - room.top - room.bottom
    // Wide enough for the longest label; 7 px is about a figure at 12 px.
    const { at } = valueTicks(max, lineHeight / room.perLabelY, binary)
    const left = Math.max(room.labelMin, ...at.map((value) => 12 + 7 * format(value).length))
    const width = this.#width - left - room.right
    this.#frame = { left, top: room.top, width, height: lineHeight, from, to, max }
    return this.#frame
  }

  #draw(): void {
    const { height } = this.#needs
    const canvas = this.#canvas.getContext('2d')
    if (!canvas) return
    this.#frame = undefined
    const frame = this.#framed()
    const scale = window.devicePixelRatio
    this.#canvas.width = Math.round(this.#width * scale)
    this.#canvas.height = Math.round(height * scale)
    this.#canvas.style.width = `${this.#width}px`
    this.#canvas.style.height = `${height}px`
    canvas.scale(scale, scale)
    this.#drawAxes(canvas, frame)
    canvas.save()
    canvas.beginPath()
    // A line at the very edge is drawn with its whole width.
    canvas.rect(frame.left, frame.top - 2, frame.width + 2, frame.height + 4)
    canvas.clip()
    canvas.lineJoin = 'round'
    for (const [index, series] of this.#series.entries())
      drawLine(canvas, frame, { at: this.#at, series, colour: this.#paint.series[index] ?? this.#paint.axis })
    canvas.restore()
    this.#drawCursor(canvas, frame)
  }

  #drawAxes(canvas: CanvasRenderingContext2D, frame: Frame): void {
    const { format, binary } = this.#needs
    canvas.font = font
    canvas.fillStyle = this.#paint.axis
    canvas.strokeStyle = this.#paint.grid
    canvas.lineWidth = 1
    canvas.textBaseline = 'middle'
    canvas.textAlign = 'right'
    for (const value of valueTicks(frame.max, frame.height / room.perLabelY, binary).at) {
      // On the middle of a pixel, so that a hairline is one.
      const y = Math.round(yOf(frame, value)) + 0.5
      canvas.fillText(format(value), frame.left - 6, y)
      canvas.beginPath()
      canvas.moveTo(frame.left, y)
      canvas.lineTo(frame.left + frame.width, y)
      canvas.stroke()
    }
    if (this.#at.length === 0) return
    const times = timeTicks(frame.from, frame.to, frame.width / room.perLabelX)
    canvas.textBaseline = 'top'
    canvas.textAlign = 'center'
    for (const second of times.at) {
      // Seconds only where the labels stand closer than a minute.
      const label = formatTimeOfDay(second, times.step % 60 !== 0)
      canvas.fillText(label, xOf(frame, second), frame.top + frame.height + 8)
    }
  }

  #drawCursor(canvas: CanvasRenderingContext2D, frame: Frame): void {
    const index = this.#index()
    if (index === undefined) return
    const x = Math.round(xOf(frame, this.#at[index] as number)) + 0.5
    canvas.strokeStyle = this.#paint.axis
    canvas.lineWidth = 1
    canvas.setLineDash([3, 3])
    canvas.beginPath()
    canvas.moveTo(x, frame.top)
    canvas.lineTo(x, frame.top + frame.height)
    canvas.stroke()
    canvas.setLineDash([])
    for (const [number, series] of this.#series.entries()) {
      const value = drawnValues(series)[index]
      if (value == null) continue
      canvas.fillStyle = this.#paint.series[number] ?? this.#paint.axis
      canvas.beginPath()
      canvas.arc(x, yOf(frame, value), 3, 0, 2 * Math.PI)
      canvas.fill()
    }
  }
}
