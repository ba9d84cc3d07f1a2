import type { History } from '../api/api.ts'
import type { Series } from '../chart/chart.tsx'
import { formatBytes, formatMs, formatRate } from '../design/design.ts'

export interface PanelSpec {
  readonly title: string
  readonly unit: string
  readonly wide?: boolean
  readonly binary?: boolean
  readonly format: (value: number) => string
  readonly series: (columns: History['series']) => readonly Series[]
}

const seconds = (value: number) => formatMs(value * 1000)
const dashed = [6, 4]
const dotted = [2, 3]

/** The charts of the overview: from what comes in to what the process needs for it. */
export const panels: readonly PanelSpec[] = [
  {
    title: 'Throughput',
    unit: 'events per second',
    wide: true,
    format: formatRate,
    series: (columns) => [
      { name: 'Received', values: columns.received_per_second, colour: 1, strong: true },
      { name: 'Processed', values: columns.processed_per_second, colour: 2, dash: dashed },
      { name: 'Duplicates', values: columns.duplicates_per_second, colour: 3, dash: dotted, sparse: true },
      { name: 'Rejected', values: columns.rejected_per_second, colour: 5, dash: [8, 3, 2, 3], sparse: true },
      { name: 'Failed', values: columns.failed_per_second, colour: 4, strong: true, sparse: true },
    ],
  },
  {
    title: 'Time to acknowledge',
    unit: 'from request to receipt',
    format: formatMs,
    series: (columns) => [
      { name: 'p50', values: columns.ack_p50_ms, colour: 2, dash: dotted },
      { name: 'p95', values: columns.ack_p95_ms, colour: 1, strong: true },
      { name: 'p99', values: columns.ack_p99_ms, colour: 3, dash: [10, 3] },
    ],
  },
  {
    title: 'Backlog',
    unit: 'age of the oldest waiting event',
    format: seconds,
    series: (columns) => [{ name: 'Behind', values: columns.backlog_seconds, colour: 1, strong: true }],
  },
  {
    title: 'Time to process',
    unit: 'from receipt to row',
    format: formatMs,
    series: (columns) => [
      { name: 'p95', values: columns.processing_p95_ms, colour: 1, strong: true },
      { name: 'Event loop p99', values: columns.event_loop_p99_ms, colour: 5, dash: dashed },
    ],
  },
  {
    title: 'Memory',
    unit: 'of the server process',
    binary: true,
    format: formatBytes,
    series: (columns) => [{ name: 'Resident', values: columns.memory_bytes, colour: 1, strong: true }],
  },
]
