import { useQuery } from '@tanstack/react-query'
import { type Health, healthQuery, type Summary, summaryQuery } from '../api/api.ts'
import { classNames, Icon, type IconName, useNow } from '../design/design.ts'
import { useLiveInterval } from './pause.tsx'

const askEveryMs = 3000

/** What the badge shows. */
interface Connection {
  readonly kind: 'joining' | 'live' | 'behind' | 'degraded' | 'lost'
  readonly text: string
}

interface Seen {
  readonly health: Health | undefined
  readonly summary: Summary | undefined
  /** When the last question failed, in milliseconds since 1970; undefined if it did not. */
  readonly failedAtMs: number | undefined
  readonly nowMs: number
}

/** Decides what the badge says. */
function connectionOf({ health, summary, failedAtMs, nowMs }: Seen): Connection {
  if (failedAtMs !== undefined) {
    const seconds = Math.max(1, Math.ceil((failedAtMs + askEveryMs - nowMs) / 1000))
    return { kind: 'lost', text: `Reconnecting in ${seconds} s` }
  }
  if (!health) return { kind: 'joining', text: 'Connecting' }
  if (health.status === 'unhealthy') return { kind: 'lost', text: 'Unhealthy' }
  if (health.status === 'degraded') return { kind: 'degraded', text: 'Degraded' }
  const behind = summary?.backlog.seconds ?? 0
  if (behind >= 2) return { kind: 'behind', text: `Behind by ${behind.toFixed(1)} s` }
  return { kind: 'live', text: 'Live' }
}

const looks: Record<Connection['kind'], { icon: IconName; ink: string }> = {
  joining: { icon: 'clock', ink: 'text-muted' },
  live: { icon: 'check', ink: 'text-ok' },
  behind: { icon: 'clock', ink: 'text-warn' },
  degraded: { icon: 'alert', ink: 'text-warn' },
  lost: { icon: 'retry', ink: 'text-bad' },
}

/** Whether what the page shows is what the server knows. */
export function ConnectionBadge() {
  const health = useQuery({ ...healthQuery, refetchInterval: askEveryMs })
  const summary = useQuery({ ...summaryQuery, refetchInterval: useLiveInterval(5000) })
  const nowMs = useNow(1000)
  const { kind, text } = connectionOf({
    health: health.data,
    summary: summary.data,
    failedAtMs: health.isError ? health.errorUpdatedAt : undefined,
    nowMs,
  })
  const { icon, ink } = looks[kind]
  return (
    <span
      className={classNames(
        'figures inline-flex items-center gap-1.5 text-sm leading-4 font-medium whitespace-nowrap',
        // The rail of a tablet is narrower than some of its words.
        'md:max-lg:flex-col md:max-lg:gap-1 md:max-lg:text-center md:max-lg:text-xs md:max-lg:whitespace-normal',
        ink,
      )}
    >
      <Icon name={icon} size={14} />
      {text}
      {/* The countdown itself is not announced, or a reader would hear every second of it. */}
      <span role="status" className="sr-only">
        {kind === 'lost' ? 'Connection to the server lost' : ''}
      </span>
    </span>
  )
}
