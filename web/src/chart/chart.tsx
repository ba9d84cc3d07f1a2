import { type KeyboardEvent, useEffect, useRef, useState } from 'react'
import { Button, classNames, formatTimeOfDay, Panel, Table } from '../design/design.ts'
import { openPlot, type Plot, type Series } from './plot.ts'
import { describeSeries, sampleRows, toCsv } from './summary.ts'

export type { Series } from './plot.ts'

export interface ChartProps {
  readonly title: string
  /** What the axis counts, for example `events per second`. */
  readonly unit: string
  readonly at: readonly number[]
  readonly series: readonly Series[]
  readonly spanSeconds: number
  /** Writes a value of the axis, with its unit if it has one of its own. */
  readonly format: (value: number) => string
  /** In px. */
  readonly height?: number
  readonly cursorKey?: string
  /** True if the axis counts bytes. */
  readonly binary?: boolean
  readonly className?: string
}

const clock = (second: number | undefined) => (second === undefined ? '' : formatTimeOfDay(second))

const valueAt = (series: Series, index: number, format: ChartProps['format']) => {
  const value = series.values[index]
  return value === null || value === undefined ? '–' : format(value)
}

/** The line as it is drawn, beside its name: colour and dash both. */
function Stroke({ series }: { series: Series }) {
  return (
    <svg aria-hidden="true" width="18" height="4" className="shrink-0">
      <line
        x1="0"
        y1="2"
        x2="18"
        y2="2"
        style={{ stroke: `var(--series-${series.colour})` }}
        strokeWidth="2"
        strokeDasharray={series.dash?.join(' ')}
      />
    </svg>
  )
}

function Legend({
  at,
  series,
  index,
  format,
}: {
  at: readonly number[]
  series: readonly Series[]
  index: number | null
  format: ChartProps['format']
}) {
  const shown = index ?? at.length - 1
  return (
    <div className="figures flex flex-wrap gap-x-5 gap-y-1 px-4 pb-1 text-sm">
      {series.map((one) => (
        <span key={one.name} className="inline-flex items-center gap-2">
          <Stroke series={one} />
          <span className="text-muted">{one.name}</span>
          <span className="font-medium">{valueAt(one, shown, format)}</span>
        </span>
      ))}
      <span className="ml-auto text-faint">{index === null ? 'now' : clock(at[index])}</span>
    </div>
  )
}

function ChartTable({ title, at, series, format }: ChartProps) {
  const rows = sampleRows(at, 12).map((index) => ({ index, at: at[index] ?? 0 }))
  return (
    <Table
      label={`${title}, as a table`}
      rows={rows}
      keyOf={(row) => String(row.at)}
      columns={[
        { name: 'Time', cell: (row) => clock(row.at), lead: true },
        ...series.map((one) => ({
          name: one.name,
          align: 'right' as const,
          cell: (row: { index: number }) => valueAt(one, row.index, format),
        })),
      ]}
    />
  )
}

/** Keeps a plot in `host` that follows the data, the width and the theme. */
function usePlot(
  { at, series, spanSeconds, format, height = 180, cursorKey = 'pulse', binary = false, title }: ChartProps,
  onCursor: (index: number | null) => void,
) {
  const host = useRef<HTMLDivElement>(null)
  const plot = useRef<Plot>(null)
  const latest = useRef({ at, series })
  latest.current = { at, series }
  const names = series.map((one) => one.name).join()
  // biome-ignore lint/correctness/useExhaustiveDependencies: data goes in by `update` below; only what shapes the plot makes a new one.
  useEffect(() => {
    const element = host.current
    if (!element) return
    const opened = openPlot({
      host: element,
      series: latest.current.series,
      height,
      cursorKey,
      spanSeconds,
      format,
      onCursor,
      binary,
    })
    plot.current = opened
    opened.update(latest.current.at, latest.current.series)
    const sizes = new ResizeObserver(() => opened.resize(element.clientWidth))
    sizes.observe(element)
    const repaint = () => opened.repaint()
    const themes = new MutationObserver(repaint)
    themes.observe(document.documentElement, { attributeFilter: ['data-theme'] })
    const media = ['(prefers-color-scheme: dark)', '(forced-colors: active)'].map((query) =>
      window.matchMedia(query),
    )
    for (const list of media) list.addEventListener('change', repaint)
    return () => {
      sizes.disconnect()
      themes.disconnect()
      for (const list of media) list.removeEventListener('change', repaint)
      opened[Symbol.dispose]()
      plot.current = null
    }
  }, [names, height, cursorKey, spanSeconds, title])
  useEffect(() => {
    if (!document.hidden) plot.current?.update(at, series)
  }, [at, series])
  return { host, plot }
}

const steps: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowRight: 1,
  PageUp: -30,
  PageDown: 30,
  Home: -Infinity,
  End: Infinity,
}

/** The canvas, with what a canvas lacks: a name that tells its content, a cursor for the keyboard, spoken values. */
function Canvas(props: ChartProps & { index: number | null; onIndex: (index: number | null) => void }) {
  const { title, unit, at, series, format, height = 180, index, onIndex } = props
  const { host, plot } = usePlot(props, onIndex)
  const [spoken, setSpoken] = useState('')
  const summary = `${title}, ${unit}. ${series.map((one) => describeSeries(one.name, one.values, format)).join(' ')}`
  const move = (pressed: KeyboardEvent) => {
    const step = steps[pressed.key]
    if (step === undefined && pressed.key !== 'Escape') return
    pressed.preventDefault()
    const next =
      step === undefined ? null : Math.min(at.length - 1, Math.max(0, (index ?? at.length - 1) + step))
    plot.current?.point(next)
    onIndex(next)
    setSpoken(
      next === null
        ? ''
        : `${clock(at[next])}: ${series.map((one) => `${one.name} ${valueAt(one, next, format)}`).join(', ')}`,
    )
  }
  return (
    <>
      <div
        ref={host}
        role="img"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys are the keyboard's cursor in the picture.
        tabIndex={0}
        aria-label={`${summary} Arrow keys move along the time.`}
        onKeyDown={move}
        onBlur={() => {
          plot.current?.point(null)
          onIndex(null)
          setSpoken('')
        }}
        style={{ height }}
        className="mx-2 overflow-hidden rounded-sm"
      />
      <span role="status" className="sr-only">
        {spoken}
      </span>
    </>
  )
}

function download(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/csv' }))
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  URL.revokeObjectURL(address)
}

/** A live chart in a panel: legend with values, keyboard cursor, the same as a table and as CSV. */
export function Chart(props: ChartProps) {
  const { title, unit, at, series, format, className } = props
  const [asTable, setAsTable] = useState(false)
  const [index, setIndex] = useState<number | null>(null)
  return (
    <Panel
      flush
      className={classNames(className)}
      title={
        <>
          {title} <span className="font-normal text-faint">{unit}</span>
        </>
      }
      actions={
        <>
          <Button
            look="quiet"
            icon={asTable ? 'chart' : 'table'}
            iconOnly
            onClick={() => setAsTable(!asTable)}
            title={asTable ? 'View as chart' : 'View as table'}
          >
            {`View ${title} as ${asTable ? 'chart' : 'table'}`}
          </Button>
          <Button
            look="quiet"
            icon="download"
            iconOnly
            onClick={() => download(`${title}.csv`, toCsv(at, series))}
            title="Download as CSV"
          >
            {`Download ${title} as CSV`}
          </Button>
        </>
      }
    >
      {asTable ? (
        <ChartTable {...props} />
      ) : (
        <>
          <Legend at={at} series={series} index={index} format={format} />
          <Canvas {...props} index={index} onIndex={setIndex} />
        </>
      )}
    </Panel>
  )
}
