import { microsOf } from '@pulse/protocol/instant'
import type { LifeStep } from '../api/api.ts'
import { classNames, formatInstant, formatMs, Icon, type IconName, type Tone } from '../design/design.ts'

const looks: Record<LifeStep['step'], { icon: IconName; tone: Tone }> = {
  received: { icon: 'next', tone: 'accent' },
  kept: { icon: 'disk', tone: 'accent' },
  parked: { icon: 'clock', tone: 'warn' },
  attempt: { icon: 'retry', tone: 'warn' },
  processed: { icon: 'check', tone: 'ok' },
  dead: { icon: 'cross', tone: 'bad' },
  redriven: { icon: 'retry', tone: 'accent' },
  dropped: { icon: 'drop', tone: 'neutral' },
}

const rings: Record<Tone, string> = {
  neutral: 'bg-hover text-muted',
  accent: 'bg-accent-soft text-accent',
  ok: 'bg-ok-soft text-ok',
  warn: 'bg-warn-soft text-warn',
  bad: 'bg-bad-soft text-bad',
}

/** How long after the step before, in words; nothing for the first. Instants hold microseconds, so this does. */
function since(step: LifeStep, before: LifeStep | undefined): string {
  if (!before) return ''
  const ms = (microsOf(step.at) - microsOf(before.at)) / 1000
  return ms >= 0 ? `+ ${formatMs(ms)}` : ''
}

/** What happened to an event, in order, with the time between. */
export function Life({ steps }: { steps: readonly LifeStep[] }) {
  return (
    <ol className="relative">
      {steps.map((step, index) => {
        const { icon, tone } = looks[step.step] ?? { icon: 'clock', tone: 'neutral' }
        return (
          <li key={`${step.at} ${step.step}`} className="relative flex gap-3 pb-5 last:pb-1">
            {index < steps.length - 1 && (
              <span aria-hidden="true" className="absolute top-7 bottom-0 left-3.5 w-px bg-hairline" />
            )}
            <span className={classNames('grid size-7 shrink-0 place-items-center rounded-full', rings[tone])}>
              <Icon name={icon} size={14} />
            </span>
            <div className="min-w-0 flex-1 pt-0.5">
              <p className="flex flex-wrap items-baseline justify-between gap-x-3">
                <span className="font-medium">{step.title}</span>
                <span className="figures text-sm text-muted">{since(step, steps[index - 1])}</span>
              </p>
              {step.detail && <p className="text-sm text-muted">{step.detail}</p>}
              <time dateTime={step.at} className="text-xs text-faint">
                {formatInstant(step.at)}
              </time>
            </div>
          </li>
        )
      })}
    </ol>
  )
}
