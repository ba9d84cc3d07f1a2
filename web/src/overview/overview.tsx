import { useQuery, useQueryClient } from '@tanstack/react-query'
import { lazy, Suspense, useRef } from 'react'
import { eventsQuery, failureFacts, historyQuery, remedyOf } from '../api/api.ts'
import { Chart } from '../chart/chart.tsx'
import { Failure, Loading } from '../design/design.ts'
import { PageTitle, PauseButton, useLiveInterval } from '../shell/shell.tsx'
import { panels } from './panels.ts'
import { FirstReceived, Recent } from './recent.tsx'
import { Tiles } from './tiles.tsx'

// Only a server without events needs it.
const FirstEvent = lazy(async () => ({ default: (await import('./first-event.tsx')).FirstEvent }))

const spanSeconds = 600

function Charts({ history }: { history: ReturnType<typeof useHistory> }) {
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

function useHistory() {
  const client = useQueryClient()
  return useQuery({ ...historyQuery(client, spanSeconds), refetchInterval: useLiveInterval(1000) })
}

/** Is it well, how fast, since when; and what came in last. */
export function Overview() {
  const history = useHistory()
  const newest = useQuery({ ...eventsQuery({ limit: 8 }), refetchInterval: useLiveInterval(1000) })
  const rows = newest.data?.data
  // Set once the page has shown that there was nothing: the next event is then the first.
  const waited = useRef(false)
  if (rows?.length === 0) waited.current = true
  const first = waited.current ? rows?.at(-1) : undefined
  return (
    <>
      <PageTitle name="Overview" lead="Up to the last ten minutes, once a second.">
        <PauseButton />
      </PageTitle>
      {rows?.length === 0 && (
        <div className="mb-3">
          <Suspense fallback={<Loading rows={6} />}>
            <FirstEvent />
          </Suspense>
        </div>
      )}
      {first && <FirstReceived event={first} />}
      <div className="flex flex-col gap-3">
        <Tiles history={history.data} />
        {rows?.length !== 0 && <Charts history={history} />}
        {rows && rows.length > 0 && <Recent rows={rows} />}
        {newest.isError && !rows && (
          <Failure
            facts={failureFacts(newest.error)}
            remedy={remedyOf(newest.error)}
            onRetry={() => void newest.refetch()}
          />
        )}
      </div>
    </>
  )
}
