import type { Load } from './load/load.ts'
import type { Series } from './statistics.ts'

/** What a bench is told. */
export interface Settings {
  /** Times that every figure is measured; the median counts. */
  readonly runs: number
  /** Length of one measurement; undefined for the bench's own. */
  readonly seconds: number | undefined
  /** Remembered ids in the window, for benches that fill it; undefined for the bench's own. */
  readonly ids: number | undefined
  /** Names that the bench of names uses; undefined for all there are. */
  readonly names: number | undefined
  /** Roles of the server, for benches that measure intake alone; undefined for the bench's own. */
  readonly roles: string | undefined
  /** Folder for CPU profiles of the server; undefined for none. */
  readonly profile: string | undefined
  readonly load: Load
  /** Tells a person what is happening. */
  readonly say: (line: string) => void
  /** Aborts when the person has had enough: no further run is begun. */
  readonly signal: AbortSignal
}

/** What the figure of a bench must be, from the issue that asked for it: beside it for comparison, not a test. */
export interface Wanted {
  readonly least?: number
  readonly most?: number
}

/** One line of the table. */
export interface Figure {
  readonly name: string
  readonly unit: string
  readonly series: Series
  readonly wanted?: Wanted
}

export interface BenchResult {
  readonly figures: readonly Figure[]
  /** Settings of the database that answered, by SHOW. */
  readonly database: Readonly<Record<string, string>>
  /** What exactly was measured, one sentence each. */
  readonly notes: readonly string[]
}

/** One bench: starts what it needs, measures, stops it. Rejects if something does not work as it should. */
export interface Bench {
  readonly name: string
  readonly summary: string
  readonly measure: (settings: Settings) => Promise<BenchResult>
}
