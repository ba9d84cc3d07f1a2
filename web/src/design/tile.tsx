import type { ReactNode } from 'react'
import { classNames } from './class-names.ts'

/** A bounded area of a page. `title` becomes its heading, `actions` stand at its right. */
export function Panel({
  title,
  actions,
  children,
  className,
  tone,
  flush = false,
}: {
  title?: ReactNode
  actions?: ReactNode
  children: ReactNode
  className?: string
  /** Marks an area that asks for attention. */
  tone?: 'bad'
  /** True if the content reaches the border, as a table does. */
  flush?: boolean
}) {
  return (
    <section
      className={classNames(
        'min-w-0 rounded-lg border bg-surface shadow-card',
        tone === 'bad' ? 'border-bad' : 'border-hairline',
        className,
      )}
    >
      {(title || actions) && (
        <header className="flex min-h-11 items-center justify-between gap-4 px-4 pt-2">
          {title && <h2 className="min-w-0 text-base font-semibold">{title}</h2>}
          {actions && <div className="flex shrink-0 items-center">{actions}</div>}
        </header>
      )}
      <div className={flush ? 'pb-1' : 'p-4 pt-2'}>{children}</div>
    </section>
  )
}

export interface TileProps {
  readonly label: string
  readonly value: ReactNode
  readonly unit?: string
  readonly tone?: 'ok' | 'warn' | 'bad'
  /** Stands at the right of the figure. */
  readonly aside?: ReactNode
  /** Further figures, smaller, below the one that counts. */
  readonly children?: ReactNode
}

const ink = { ok: 'text-ok', warn: 'text-warn', bad: 'text-bad' } as const

/** One question, one figure that can be read from across the room. */
export function Tile({ label, value, unit, tone, aside, children }: TileProps) {
  return (
    <section className="flex min-w-0 flex-col rounded-lg border border-hairline bg-surface px-4 pt-3 pb-3.5 shadow-card">
      <h2 className="text-sm text-muted">{label}</h2>
      <div className="mt-1 flex items-center justify-between gap-3">
        <p
          className={classNames(
            // A figure that breaks reads as two; what stands beside it gives way.
            'figures flex shrink-0 items-baseline gap-1.5 whitespace-nowrap text-figure font-medium tracking-tight',
            tone && ink[tone],
          )}
        >
          <span>{value}</span>
          {unit && <span className="text-lg font-normal tracking-normal text-muted">{unit}</span>}
        </p>
        {aside && <div className="flex min-w-0 justify-end overflow-hidden">{aside}</div>}
      </div>
      <div className="figures mt-2 text-sm text-muted">{children}</div>
    </section>
  )
}

/** A name and what it is, in a column of such. */
export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="grid grid-cols-1 gap-x-4 py-2 sm:grid-cols-[8.5rem_minmax(0,1fr)]">
      <dt className="text-sm text-muted">{name}</dt>
      <dd className="min-w-0">{children}</dd>
    </div>
  )
}

/** A list of facts, hairlines between. */
export function Facts({ children }: { children: ReactNode }) {
  return <dl className="divide-y divide-hairline">{children}</dl>
}
