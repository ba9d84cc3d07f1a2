import type { ComponentProps } from 'react'
import { classNames } from './class-names.ts'
import { Icon, type IconName } from './icon.tsx'

const looks = {
  primary: 'border-transparent bg-accent text-on-accent hover:bg-accent-hover',
  plain: 'border-edge bg-surface text-ink hover:bg-hover',
  quiet: 'border-transparent bg-transparent text-muted hover:bg-hover hover:text-ink',
  danger: 'border-transparent bg-bad text-surface hover:opacity-90',
} as const

export interface ButtonProps extends Omit<ComponentProps<'button'>, 'className'> {
  readonly look?: keyof typeof looks
  readonly icon?: IconName
  /** Hides the words from sight, not from screen readers; the icon stays. */
  readonly iconOnly?: boolean
  /** True while the action runs: the button says so, and does not act twice. */
  readonly busy?: boolean
  readonly className?: string
}

/** The classes of a button, for a link that looks like one. */
export function buttonLook(look: keyof typeof looks = 'plain'): string {
  return classNames(
    'inline-flex min-h-8 items-center justify-center gap-1.5 rounded-md border px-3 py-1 text-sm font-medium whitespace-nowrap transition-colors',
    'disabled:opacity-50 pointer-coarse:min-h-11',
    looks[look],
  )
}

/** A button. `plain` unless it is the one thing to do on the page (`primary`) or stands in a bar (`quiet`). */
export function Button({
  look = 'plain',
  icon,
  iconOnly = false,
  busy = false,
  className,
  children,
  ...rest
}: ButtonProps) {
  return (
    <button
      type="button"
      {...rest}
      aria-busy={busy || undefined}
      disabled={rest.disabled || busy}
      className={classNames(buttonLook(look), iconOnly && 'min-w-8 px-2! pointer-coarse:min-w-11', className)}
    >
      {icon && <Icon name={busy ? 'clock' : icon} className={busy ? 'breathing' : ''} />}
      <span className={iconOnly ? 'sr-only' : 'contents'}>{children}</span>
    </button>
  )
}
