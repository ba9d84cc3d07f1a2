import { Badge, classNames, formatSpan, type IconName, type Tone, useNow } from '../design/design.ts'
import type { Webhook } from './queries.ts'

const states: Record<Webhook['status'], { tone: Tone; icon: IconName }> = {
  active: { tone: 'ok', icon: 'check' },
  paused: { tone: 'neutral', icon: 'pause' },
  failing: { tone: 'bad', icon: 'alert' },
}

/** How a webhook is. */
export function WebhookBadge({ status }: Pick<Webhook, 'status'>) {
  return (
    <Badge tone={states[status].tone} icon={states[status].icon}>
      {status}
    </Badge>
  )
}

// An attempt and its answer take a moment: that is no delay yet.
const secondsToTell = 10

/** How long the oldest event waits for its receiver. */
export function Behind({ webhook: { status, waiting_since } }: { webhook: Webhook }) {
  const now = useNow(1_000)
  // What comes while it is paused waits in the log, and nobody counts it there.
  if (waiting_since === null)
    return <span className="whitespace-nowrap text-faint">{status === 'paused' ? 'unknown' : '0 s'}</span>
  const seconds = Math.max(0, (now - Date.parse(waiting_since)) / 1_000)
  return (
    <span className={classNames('whitespace-nowrap', seconds >= secondsToTell && 'font-medium text-warn')}>
      {formatSpan(seconds)}
    </span>
  )
}
