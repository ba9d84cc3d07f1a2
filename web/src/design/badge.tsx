import type { ReactNode } from 'react'
import { classNames } from './class-names.ts'
import { Icon, type IconName } from './icon.tsx'

const tones = {
  neutral: 'border-hairline bg-hover text-muted',
  accent: 'border-transparent bg-accent-soft text-accent',
  ok: 'border-transparent bg-ok-soft text-ok',
  warn: 'border-transparent bg-warn-soft text-warn',
  bad: 'border-transparent bg-bad-soft text-bad',
} as const

/** What a badge means; colour never stands alone, an icon and a word go with it. */
export type Tone = keyof typeof tones

/** A short state: icon, word and colour together. */
export function Badge({
  tone = 'neutral',
  icon,
  children,
}: {
  tone?: Tone
  icon?: IconName
  children: ReactNode
}) {
  return (
    <span
      className={classNames(
        'inline-flex h-5.5 items-center gap-1 rounded-full border px-2 text-xs font-medium whitespace-nowrap',
        tones[tone],
      )}
    >
      {icon && <Icon name={icon} size={12} />}
      {children}
    </span>
  )
}

const states: Record<string, { tone: Tone; icon: IconName }> = {
  accepted: { tone: 'accent', icon: 'clock' },
  retrying: { tone: 'warn', icon: 'retry' },
  processed: { tone: 'ok', icon: 'check' },
  dead: { tone: 'bad', icon: 'cross' },
  dropped: { tone: 'neutral', icon: 'drop' },
  redriven: { tone: 'accent', icon: 'retry' },
}

/** The state of an event or of a dead letter. A state that a newer server names is shown as it is. */
export function StateBadge({ state }: { state: string }) {
  const { tone, icon } = states[state] ?? { tone: 'neutral', icon: 'clock' }
  return (
    <Badge tone={tone} icon={icon}>
      {state}
    </Badge>
  )
}
