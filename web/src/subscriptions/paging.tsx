import { Link } from '@tanstack/react-router'
import type { Page } from '../api/api.ts'
import { buttonLook, Icon } from '../design/design.ts'
import type { SubscriptionSearch } from './subscriptions.tsx'

/** The ways to the first and to the next page of a list of the subscriptions; nothing where all of it is one page. */
export function Paging({
  of,
  page,
  search,
}: {
  of: string
  page: Page<unknown>
  search: SubscriptionSearch
}) {
  const { cursor, open: _, expression: __, ...first } = search
  if (cursor === undefined && !page.has_more) return null
  return (
    <nav aria-label={`Pages of ${of}`} className="flex gap-2 px-4 py-2">
      {cursor !== undefined && (
        <Link to="/subscriptions" search={first} className={buttonLook()}>
          <Icon name="first" size={14} />
          First
        </Link>
      )}
      {page.has_more && page.cursor !== null && (
        <Link to="/subscriptions" search={{ ...first, cursor: page.cursor }} className={buttonLook()}>
          More
          <Icon name="next" size={14} />
        </Link>
      )}
    </nav>
  )
}
