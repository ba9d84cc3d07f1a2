import type { Logger } from 'pino'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { FilterGeneration } from './filter-generation.ts'

/** How a check ended; `refused` is no valid name, `limited` one that was not answered because of a limit. */
export type CheckOutcome = 'free' | 'taken' | 'resolved' | 'refused' | 'unsure' | 'unavailable' | 'limited'

/** Names since the start, in numbers that only grow. */
export interface NameCounts {
  /** Checks that were answered, alone or many at once. */
  readonly checked: number
  /** Names that were taken, alone or by an import. */
  readonly claimed: number
}

/** Every fact about names, one function each. */
export interface NamesReport {
  counts(): NameCounts
  checked(outcome: CheckOutcome): void
  claimed(outcome: 'claimed' | 'repeated' | 'taken' | 'refused' | 'failed', ms: number): void
  released(): void
  imported(added: number, present: number, refused: number): void
  /** Free names are answered from memory from now on, or no more. */
  leaseChanged(holds: boolean): void
  loaded(from: 'read' | 'none' | 'refused', generation: FilterGeneration, ms: number): void
  snapshotRefused(reason: string): void
  snapshotFailed(error: unknown): void
  rebuilt(generation: FilterGeneration, ms: number): void
  rebuildFailed(error: unknown): void
  troubled(error: unknown): void
  /** An address, a network or everybody together asked for more names than somebody who chooses one. */
  swept(name: string): void
  seeded(added: number, path: string): void
  seedingFailed(error: unknown, path: string): void
}

/** What the gauges show when they are read. */
export interface NamesObserved {
  generation(): FilterGeneration | undefined
  isCertain(): boolean
  /** Hashes that other servers have applied and this one has not. */
  lag(): number
  /** The part of other names that are a "maybe", measured lately; undefined without a filter. */
  falsePositiveRate(): number | undefined
}

/**
 * Makes the report. Metrics: `pulse_names_checks_total{outcome}`, `pulse_names_claims_total{outcome}`, `pulse_names_claim_seconds`,
 * `pulse_names_imported_total{outcome}`, `pulse_names_released_total`,
 * `pulse_names_estimated`, `pulse_names_filter_fill_ratio`, `pulse_names_filter_bytes`, `pulse_names_filter_generation`,
 * `pulse_names_filter_false_positive_ratio`, `pulse_names_lag`,
 * `pulse_names_certain`, `pulse_names_rebuilds_total{result}`, `pulse_names_sweeps_total`.
 */
export function createNamesReport(from: {
  log: Logger
  metrics: Registry
  observed: NamesObserved
}): NamesReport {
  const { log } = from
  const registers = [from.metrics]
  registerGauges(registers, from.observed)
  const { checks, claims, seconds, imported, released, rebuilds, sweeps } = createCounters(registers)
  const counts = { checked: 0, claimed: 0 }
  const filterOf = (generation: FilterGeneration) => ({
    generation: generation.number,
    names: generation.namesEstimated,
    capacity: generation.capacity,
  })
  let troubled = false
  return {
    counts: () => ({ ...counts }),
    checked: (outcome) => {
      checks.inc({ outcome })
      if (outcome !== 'limited') counts.checked++
    },
    claimed: (outcome, ms) => {
      claims.inc({ outcome })
      if (outcome === 'claimed') counts.claimed++
      seconds.observe(ms / 1_000)
    },
    released: () => released.inc(),
    imported: (added, present, refused) => {
      for (const [outcome, count] of Object.entries({ added, present, refused }))
        imported.inc({ outcome }, count)
      counts.claimed += added
      log.info({ added, present, refused }, 'names were imported')
    },
    leaseChanged: (holds) => {
      if (holds) troubled = false
      log.info(holds ? 'free names are answered from memory' : 'every name is asked of the database')
    },
    loaded: (kind, generation, ms) =>
      log.info(
        { ...filterOf(generation), ms: Math.round(ms), from: kind === 'read' ? 'disk' : 'database' },
        'the filter of names is there',
      ),
    snapshotRefused: (reason) =>
      log.warn({ reason }, 'the filter of names on disk is not used; a new one is made'),
    snapshotFailed: (error) => log.warn({ err: error }, 'the filter of names could not be written to disk'),
    rebuilt: (generation, ms) => {
      rebuilds.inc({ result: 'taken' })
      log.info({ ...filterOf(generation), ms: Math.round(ms) }, 'a new filter of names has taken over')
    },
    rebuildFailed: (error) => {
      rebuilds.inc({ result: 'failed' })
      log.error({ err: error }, 'no new filter of names was made; the old one stays')
    },
    troubled: (error) => {
      if (!troubled) log.warn({ err: error }, 'the filter of names cannot follow the log; it tries again')
      troubled = true
    },
    swept: (name) => {
      sweeps.inc()
      log.warn({ from: name }, 'names are being asked for by the list; further ones are refused for a while')
    },
    seeded: (added, path) => log.info({ added, path }, 'names were taken over from a file'),
    seedingFailed: (error, path) =>
      log.error({ err: error, path }, 'names could not be taken over from a file'),
  }
}

/** What happens to the file of rules. */
export interface RulesReport {
  readAgain(path: string): void
  broken(path: string, why: string): void
}

/** Makes the report of the rules. Metric: `pulse_names_rules_broken`. */
export function createRulesReport({ log, metrics }: { log: Logger; metrics: Registry }): RulesReport {
  const broken = new Gauge({
    name: 'pulse_names_rules_broken',
    help: '1 while the file of rules cannot be used and those before it hold',
    registers: [metrics],
  })
  return {
    readAgain: (path) => {
      broken.set(0)
      log.info({ path }, 'the rules of names were read again')
    },
    broken: (path, why) => {
      broken.set(1)
      log.error({ path }, `the rules of names cannot be used, those before stay: ${why}`)
    },
  }
}

function registerGauges(registers: Registry[], observed: NamesObserved): void {
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      ...{ name, help, registers },
      collect() {
        this.set(value())
      },
    })
  gauge(
    'pulse_names_estimated',
    'Names in the filter, estimated from its bits',
    () => observed.generation()?.namesEstimated ?? 0,
  )
  gauge(
    'pulse_names_filter_fill_ratio',
    'Names in the filter as part of those that it is made for',
    () => observed.generation()?.fill ?? 0,
  )
  gauge('pulse_names_filter_bytes', 'Memory of the filter', () => (observed.generation()?.bits ?? 0) / 8)
  gauge(
    'pulse_names_filter_generation',
    'Number of the filter: it rises when a new one takes over',
    () => observed.generation()?.number ?? 0,
  )
  gauge(
    'pulse_names_filter_false_positive_ratio',
    'The part of other names that are a maybe, measured with random ones',
    () => observed.falsePositiveRate() ?? 0,
  )
  gauge('pulse_names_lag', 'Hashes that other servers have applied and this one has not', () =>
    observed.lag(),
  )
  gauge('pulse_names_certain', '1 while free names are answered from memory', () =>
    Number(observed.isCertain()),
  )
}

function createCounters(registers: Registry[]) {
  return {
    checks: new Counter({
      name: 'pulse_names_checks_total',
      help: 'Checks of names by outcome',
      labelNames: ['outcome'],
      registers,
    }),
    claims: new Counter({
      name: 'pulse_names_claims_total',
      help: 'Claims of names by outcome',
      labelNames: ['outcome'],
      registers,
    }),
    seconds: new Histogram({
      ...{ name: 'pulse_names_claim_seconds', help: 'From the claim to its answer', registers },
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    }),
    imported: new Counter({
      name: 'pulse_names_imported_total',
      help: 'Names of imports by outcome',
      labelNames: ['outcome'],
      registers,
    }),
    released: new Counter({
      name: 'pulse_names_released_total',
      help: 'Names that were let go',
      registers,
    }),
    rebuilds: new Counter({
      name: 'pulse_names_rebuilds_total',
      help: 'New filters by what became of them',
      labelNames: ['result'],
      registers,
    }),
    sweeps: new Counter({
      name: 'pulse_names_sweeps_total',
      help: 'Times that an address, a network or everybody together asked for more names than allowed',
      registers,
    }),
  }
}
