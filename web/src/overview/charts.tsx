import type { UseQueryResult } from '@tanstack/react-query'
import { failureFacts, type History, remedyOf } from '../api/api.ts'
import { Chart } from '../chart/chart.tsx'
import { Failure, Loading } from '../design/design.ts'
import { panels } from './panels.ts'

/** The overview's charts, as wide as `spanSeconds`. */
export function Charts({ history, spanSeconds }: { history: UseQueryResult<History>; spanSeconds: number }) {
  if (history.isPending) return <Loading rows={8} label="Loading the charts" />
  if (!history.data)
    return (
      <Failure
        facts={failureFacts(history.error)}
        remedy={remedyOf(history.error)}
        onRetry={() => void history.refetch()}
      />
    )
  const { series } = history.data
  return (
    <div className="grid gap-3 lg:grid-cols-2">
      {panels.map((panel) => (
        <Chart
          key={panel.title}
          title={panel.title}
          unit={panel.unit}
          at={series.at}
          series={panel.series(series)}
          spanSeconds={spanSeconds}
          format={panel.format}
          height={panel.wide ? 220 : 160}
          binary={panel.binary ?? false}
          {...(panel.wide ? { className: 'lg:col-span-2' } : {})}
        />
      ))}
    </div>
  )
}
