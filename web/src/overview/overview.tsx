import { useQuery, useQueryClient } from '@tanstack/react-query'
import { lazy, Suspense, useRef } from 'react'
import { eventsQuery, failureFacts, historyQuery, remedyOf } from '../api/api.ts'
import { part } from '../api/part.ts'
import { Failure, Loading } from '../design/design.ts'
import { PageTitle, PauseButton, useLiveInterval } from '../shell/shell.tsx'
import { FirstReceived, Recent } from './recent.tsx'
import { Tiles } from './tiles.tsx'

// A third of the page's script draws charts: the figures above them do not wait for it.
const Charts = lazy(part(async () => ({ default: (await import('./charts.tsx')).Charts })))
// Only a server without events needs it.
const FirstEvent = lazy(part(async () => ({ default: (await import('./first-event.tsx')).FirstEvent })))

const spanSeconds = 600

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
        {rows?.length !== 0 && (
          <Suspense fallback={<Loading rows={8} label="Loading the charts" />}>
            <Charts history={history} spanSeconds={spanSeconds} />
          </Suspense>
        )}
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
