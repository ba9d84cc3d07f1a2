import type { ReactNode } from 'react'
import { classNames } from './class-names.ts'
import { useMedia } from './media.ts'

export interface Column<Row> {
  readonly name: string
  readonly cell: (row: Row) => ReactNode
  /** Figures stand at the right, under each other. */
  readonly align?: 'right'
  /** Class of the column's cells, for its width. */
  readonly className?: string
  /** True if a value can be as long as its sender likes: a row cuts it, a card wraps it. */
  readonly long?: boolean
  /** What a card leads with; every other column follows with its name. */
  readonly lead?: boolean
}

export interface TableProps<Row> {
  /** What the table lists, for screen readers. */
  readonly label: string
  readonly columns: readonly Column<Row>[]
  readonly rows: readonly Row[]
  readonly keyOf: (row: Row) => string
  /** Rows that came while the reader was looking are tinted for a moment. */
  readonly isFresh?: (row: Row) => boolean
  readonly isCurrent?: (row: Row) => boolean
}

// A focused link inside draws its outline within: the cut would take what stands out.
function Cut({ lead = false, children }: { lead: boolean | undefined; children: ReactNode }) {
  return (
    <span
      className={classNames(
        'block truncate [&>a]:-outline-offset-2',
        lead ? 'max-w-48 lg:max-w-72' : 'max-w-28 lg:max-w-52',
      )}
    >
      {children}
    </span>
  )
}

function Rows<Row>({ label, columns, rows, keyOf, isFresh, isCurrent }: TableProps<Row>) {
  return (
    <div className="overflow-x-auto">
      <table aria-label={label} className="w-full border-collapse text-left text-sm">
        <thead>
          <tr className="border-b border-hairline">
            {columns.map((column) => (
              <th
                key={column.name}
                scope="col"
                className={classNames(
                  'px-4 py-2 text-xs font-medium whitespace-nowrap text-muted',
                  column.align === 'right' && 'text-right',
                  column.className,
                )}
              >
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr
              key={keyOf(row)}
              aria-current={isCurrent?.(row) || undefined}
              className={classNames(
                'border-b border-hairline last:border-b-0 hover:bg-hover aria-[current]:bg-accent-soft',
                isFresh?.(row) && 'fresh',
              )}
            >
              {columns.map((column) => (
                <td
                  key={column.name}
                  className={classNames(
                    'px-4 py-1.5 align-middle',
                    column.align === 'right' && 'text-right',
                    column.className,
                  )}
                >
                  {column.long ? <Cut lead={column.lead}>{column.cell(row)}</Cut> : column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Cards<Row>({ label, columns, rows, keyOf, isFresh, isCurrent }: TableProps<Row>) {
  return (
    <ul aria-label={label} className="divide-y divide-hairline">
      {rows.map((row) => (
        <li
          key={keyOf(row)}
          aria-current={isCurrent?.(row) || undefined}
          className={classNames('px-4 py-3 aria-[current]:bg-accent-soft', isFresh?.(row) && 'fresh')}
        >
          <div className="flex flex-wrap items-center justify-between gap-x-3 gap-y-1">
            {columns
              .filter((column) => column.lead)
              .map((column) => (
                <div key={column.name} className="min-w-0">
                  {column.cell(row)}
                </div>
              ))}
          </div>
          <dl className="mt-1.5 grid grid-cols-[auto_minmax(0,1fr)] gap-x-3 gap-y-0.5 text-sm">
            {columns
              .filter((column) => !column.lead)
              .map((column) => (
                <div key={column.name} className="contents">
                  <dt className="text-muted">{column.name}</dt>
                  <dd className="min-w-0">{column.cell(row)}</dd>
                </div>
              ))}
          </dl>
        </li>
      ))}
    </ul>
  )
}

/** Rows to compare, dense; below 640 px each row is a card, so that nobody scrolls two ways. */
export function Table<Row>(props: TableProps<Row>) {
  return useMedia('(max-width: 639px)') ? <Cards {...props} /> : <Rows {...props} />
}
