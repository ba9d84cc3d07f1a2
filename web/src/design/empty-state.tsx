import type { ReactNode } from 'react'
import { classNames } from './class-names.ts'
import { Icon, type IconName } from './icon.tsx'

/** What stands where there is nothing yet: what is missing, why that is fine or not, and what to do. */
export function EmptyState({
  icon,
  title,
  children,
  action,
}: {
  icon: IconName
  title: string
  children?: ReactNode
  action?: ReactNode
}) {
  return (
    <div className="flex flex-col items-center gap-2 px-4 py-12 text-center">
      <span className="mb-1 grid size-10 place-items-center rounded-full border border-hairline bg-hover text-muted">
        <Icon name={icon} size={18} />
      </span>
      <p className="text-lg font-medium">{title}</p>
      {children && <div className="max-w-prose text-muted">{children}</div>}
      {action && <div className="mt-2 flex flex-wrap justify-center gap-2">{action}</div>}
    </div>
  )
}

/** Grey bars in the shape of what is being fetched; said once to screen readers. */
export function Loading({ rows = 6, label = 'Loading' }: { rows?: number; label?: string }) {
  return (
    <div role="status" className="flex flex-col gap-3 p-4">
      <span className="sr-only">{label}</span>
      {Array.from({ length: rows }, (_, row) => (
        <span
          // biome-ignore lint/suspicious/noArrayIndexKey: the bars are all alike and never move.
          key={row}
          aria-hidden="true"
          className={classNames(
            'breathing h-4 rounded-sm bg-hairline',
            ['w-11/12', 'w-3/4', 'w-5/6'][row % 3],
          )}
        />
      ))}
    </div>
  )
}
