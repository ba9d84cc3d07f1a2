import { Presets, SingleBar } from 'cli-progress'
import { count, duration, type Terminal } from './terminal.ts'

/** Tells how far a long command is, on standard error: a bar where a person watches, else a line per 5 s. */
export interface Progress extends Disposable {
  /** `done` of the total is done (in whatever the total counts); `items` is the count that people care for. */
  at(done: number, items: number): void
  /** Takes the bar away. Twice is harmless. */
  stop(): void
}

export interface ProgressOptions {
  /** What `items` counts, in the plural. */
  readonly unit: string
  /** What `done` grows to. */
  readonly total: number
  /** What an earlier run had done already: it says nothing about this one's speed. */
  readonly before?: { readonly done: number; readonly items: number }
}

const lineEveryMs = 5_000

/** Starts telling. Quiet under `--json`, where standard error is for problems. */
export function createProgress(terminal: Terminal, { unit, total, before }: ProgressOptions): Progress {
  const startedAt = performance.now()
  const from = before ?? { done: 0, items: 0 }
  let saidAt = startedAt
  const bar = terminal.watched && !terminal.json ? openBar(total) : undefined

  function facts(done: number, items: number): string {
    const seconds = Math.max(0.001, (performance.now() - startedAt) / 1000)
    const left = done > from.done ? (seconds * (total - done)) / (done - from.done) : 0
    const rate = (items - from.items) / seconds
    return `${count(items)} ${unit}, ${count(rate)}/s, ${done >= total ? 'done' : `${duration(left)} left`}`
  }

  return {
    at(done, items) {
      if (terminal.json) return
      bar?.update(Math.min(done, total), { facts: facts(done, items) })
      if (bar || performance.now() - saidAt < lineEveryMs) return
      saidAt = performance.now()
      terminal.note(`${Math.floor((total === 0 ? 1 : done / total) * 100)} %  ${facts(done, items)}`)
    },
    stop: () => bar?.stop(),
    [Symbol.dispose]: () => bar?.stop(),
  }
}

function openBar(total: number): SingleBar {
  const format = '{bar} {percentage} %  {facts}'
  const bar = new SingleBar(
    { format, barsize: 24, fps: 10, clearOnComplete: true, hideCursor: true },
    Presets.shades_classic,
  )
  bar.start(total, 0, { facts: '' })
  return bar
}
