import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { deadLettersQuery, failureFacts, isPassing, remedyOf } from '../api/api.ts'
import { webhookHandler } from '../dead-letters/handlers.ts'
import { Failure, Instant, StateBadge } from '../design/design.ts'
import { useLiveInterval } from '../shell/shell.tsx'

const shownMax = 5

/** The newest events that a receiver did not take, each a way to its redrive. */
export function GivenUp({ webhookId, count }: { webhookId: string; count: number }) {
  const everyMs = useLiveInterval(5_000)
  const letters = useQuery({
    ...deadLettersQuery({ handler: webhookHandler(webhookId), limit: shownMax }),
    enabled: count > 0,
    refetchInterval: ({ state }) => (state.error === null || isPassing(state.error) ? everyMs : false),
  })
  if (count === 0) return null
  const failed = letters.isError && !(letters.data && isPassing(letters.error))
  return (
    <section className="mt-4">
      <header className="flex items-center justify-between gap-3">
        <h3 className="font-semibold">Dead letters</h3>
        <Link
          to="/dead-letters"
          search={{ webhook: webhookId }}
          className="text-sm font-medium text-accent hover:underline"
        >
          See all, and redrive
        </Link>
      </header>
      {failed ? (
        <div className="-mx-4">
          <Failure
            facts={failureFacts(letters.error)}
            remedy={remedyOf(letters.error)}
            onRetry={() => void letters.refetch()}
          />
        </div>
      ) : (
        <ul aria-label="Its newest dead letters" className="mt-1 divide-y divide-hairline">
          {letters.data?.data.map((letter) => (
            <li key={letter.id} className="flex flex-wrap items-center gap-x-3 gap-y-1 py-2 text-sm">
              <Link
                to="/dead-letters"
                search={{ webhook: webhookId, open: letter.id }}
                className="font-medium hover:underline"
              >
                {letter.event_type}
              </Link>
              <span className="min-w-0 flex-1 truncate text-muted" title={letter.error.message}>
                {letter.error.message}
              </span>
              <StateBadge state={letter.state} />
              <Instant at={letter.failed_at} inRow />
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}
