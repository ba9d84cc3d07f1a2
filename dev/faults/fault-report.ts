import type { Machine } from '../bench/machine.ts'
import { type Findings, violationsOf } from './audit.ts'
import type { Ledger } from './ledger.ts'

export interface RoundOptions {
  readonly rounds: number
  /** Decides moments, batches and victims; what the machine does in between it cannot decide. */
  readonly seed: number
  readonly tell?: (line: string) => void
}

/** What came of one kind of fault. */
export interface FaultReport {
  readonly name: string
  readonly options: RoundOptions
  readonly ledger: Ledger
  readonly findings: Findings
  /** Milliseconds until it worked again, per fault. */
  readonly recoveryMs: readonly number[]
}

/** A finished run of several kinds of faults. */
export interface FaultRun {
  readonly startedAt: Date
  readonly tookMs: number
  readonly machine: Machine
  readonly reports: readonly FaultReport[]
}

/** What the kinds do, for a reader who has not seen the code. */
export const faultKinds: Readonly<Record<string, { readonly what: string; readonly recovery: string }>> = {
  'server-killed': {
    what: 'kill -9 of the server; another process starts over the same folder',
    recovery: 'start of the process to `/readyz` 200',
  },
  'database-killed': {
    what: 'kill -9 of the server’s own PostgreSQL',
    recovery: 'kill to a new PostgreSQL, `/readyz` 200 and the next acknowledgement',
  },
  'both-killed': {
    what: 'kill -9 of the server and of PostgreSQL with all its sessions in the same moment',
    recovery: 'start of the process to `/readyz` 200',
  },
  'server-stopped': {
    what: 'SIGSTOP of the server for 0.5 to 3 s',
    recovery: 'SIGCONT to `/readyz` 200 and the next acknowledgement',
  },
  'database-stopped': {
    what: 'SIGSTOP of PostgreSQL and all its sessions for 0.5 to 3 s',
    recovery: 'SIGCONT to `/readyz` 200 and the next acknowledgement',
  },
  'cluster-killed': {
    what: 'kill -9 of one of three servers on one database; a new one takes its place',
    recovery: 'kill to all its partitions being owned by others',
  },
  subscribers: {
    what: 'kill -9 of the server with nine subscribers attached over sockets with frames, plain sockets and event streams; each comes back with its last position, and its violations are those of what it received',
    recovery: 'start of the process to `/readyz` 200',
  },
}

const violationsIn = (report: FaultReport) => violationsOf(report.findings).reduce((sum, [, n]) => sum + n, 0)

/** Violations of all kinds together; nought is what is promised. */
export const violationsInAll = (run: FaultRun) =>
  run.reports.reduce((sum, report) => sum + violationsIn(report), 0)

/** The run as a page of the documentation. */
export function asMarkdown(run: FaultRun): string {
  const { machine, reports } = run
  const busy =
    machine.loadBefore > 0.7 ? `; it was busy with other work before (load ${machine.loadBefore})` : ''
  return `${[
    '# Faults',
    '',
    'Written by `npm run faults`. Four producers send batches of up to 20 events of 4 keys without a pause, through every',
    'failure, and repeat what was not answered with the same `event_id`, while the server or its database is killed or',
    'stopped at random moments. What they know is kept outside of what is broken, and compared at the end with what the',
    'API shows.',
    '',
    `Run of ${run.startedAt.toISOString()}, ${Math.round(run.tookMs / 1000)} s, commit ${machine.commit}, on ${machine.cores} cores of ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.system}, Node ${machine.node}${busy}.`,
    '',
    '## What was done, and what was found',
    '',
    ...table(
      [
        'fault',
        'faults',
        'offered',
        'acknowledged',
        'never answered',
        'violations',
        'recovery p50',
        'max',
        'seed',
      ],
      reports.map((report) => [
        report.name,
        report.options.rounds,
        report.ledger.offered,
        report.ledger.acked.size,
        report.ledger.unknown.size,
        violationsIn(report),
        `${quantile(report.recoveryMs, 0.5)} ms`,
        `${quantile(report.recoveryMs, 1)} ms`,
        report.options.seed,
      ]),
    ),
    '',
    ...reports.map(
      ({ name }) => `- ${name}: ${faultKinds[name]?.what}. Recovery: ${faultKinds[name]?.recovery}.`,
    ),
    '',
    '## Violations by kind',
    '',
    ...table(
      ['fault', 'lost', 'duplicated', 'invented', 'reordered', 'receipt changed', 'wrong answer'],
      reports.map(({ name, findings }) => [name, ...violationsOf(findings).map(([, count]) => count)]),
    ),
    '',
    'Lost: acknowledged and not there. Duplicated: there more than once. Invented: there though nobody sent it or it was',
    'refused. Reordered: events of a key in another order than they were sent in. Receipt changed: the same event sent',
    'again got another receipt. Wrong answer: neither success, nor 429 or 503 with `Retry-After`.',
    '',
    '## What this shows and what it does not',
    '',
    ...reports.map(boundOf),
    '',
    'The rule of three: no violation in n independent faults bounds the rate of violations per fault below 3/n with 95 %',
    'confidence. It says nothing about faults that were not made here: loss of power, disks that lie or fill up, and',
    'networks that split are not among them. That the audit finds what it looks for is tested with planted bugs in',
    '`dev/faults/audit.test.ts`. A run is repeated with its seed (`npm run faults -- --only NAME --seed N`); the seed',
    'decides moments and batches, not what the machine does in between.',
  ].join('\n')}\n`
}

function boundOf(report: FaultReport): string {
  const { rounds } = report.options
  const found = violationsIn(report)
  if (found > 0) return `- ${report.name}: ${found} violations in ${rounds} faults: the promise is broken.`
  const percent = Math.min(100, 300 / rounds)
  return `- ${report.name}: 0 violations in ${rounds} faults: fewer than ${percent.toFixed(percent < 10 ? 1 : 0)} % of such faults violate a promise (95 % confidence).`
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0)
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)]
}
