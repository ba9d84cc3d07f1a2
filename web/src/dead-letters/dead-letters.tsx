import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import {
  type DeadLetter,
  deadLettersQuery,
  failureFacts,
  isPassing,
  type Page,
  remedyOf,
} from '../api/api.ts'
import {
  Button,
  buttonLook,
  type Column,
  classNames,
  EmptyState,
  Failure,
  Icon,
  Instant,
  Loading,
  Panel,
  StateBadge,
  Table,
} from '../design/design.ts'
import { PageTitle, PauseButton, useLiveInterval } from '../shell/shell.tsx'
import { causeOf, type Facet, facetsOf } from './facets.ts'
import { handlerName, webhookHandler } from './handlers.ts'
import { LetterSheet } from './letter-sheet.tsx'

/** What the address of the page holds: a filter by type, one webhook, one cause in one handler, a page, and the letter that lies open. */
export interface LetterSearch {
  readonly event_type?: string
  readonly cause?: string
  readonly handler?: string
  /** Only what the receiver of this webhook did not take. */
  readonly webhook?: string
  readonly cursor?: string
  readonly open?: string
}

const rowsPerPage = 100
const route = getRouteApi('/signed-in/dead-letters')

function Facets({
  facets,
  chosen,
  onChoose,
}: {
  facets: readonly Facet[]
  chosen: LetterSearch
  onChoose: (facet: Facet | undefined) => void
}) {
  return (
    <Panel title="By cause" className="self-start">
      <p className="-mt-1 mb-2 text-sm text-muted">Of the dead letters on this page.</p>
      <ul className="grid gap-x-4 gap-y-0.5 sm:grid-cols-2 lg:grid-cols-1">
        {facets.map((facet) => {
          const pressed = facet.cause === chosen.cause && facet.handler === chosen.handler
          return (
            <li key={`${facet.cause} ${facet.handler}`}>
              <button
                type="button"
                aria-pressed={pressed}
                onClick={() => onChoose(pressed ? undefined : facet)}
                className={classNames(
                  'flex min-h-9 w-full items-center justify-between gap-3 rounded-md px-2 py-1 text-left pointer-coarse:min-h-11',
                  pressed ? 'bg-accent-soft text-accent' : 'hover:bg-hover',
                )}
              >
                <span className="min-w-0">
                  <span className="block font-medium">{facet.cause}</span>
                  <span className="block text-xs text-muted">
                    in {handlerName(facet.handler)}, last <Instant at={facet.latest} inRow />
                  </span>
                </span>
                <span className="figures text-lg font-medium">{facet.count}</span>
              </button>
            </li>
          )
        })}
      </ul>
    </Panel>
  )
}

const columns = (search: LetterSearch): readonly Column<DeadLetter>[] => [
  {
    name: 'Type',
    long: true,
    lead: true,
    cell: (letter) => (
      <Link
        to="/dead-letters"
        search={{ ...search, open: letter.id }}
        data-row
        className="font-medium hover:underline"
      >
        {letter.event_type}
      </Link>
    ),
  },
  { name: 'State', lead: true, cell: (letter) => <StateBadge state={letter.state} /> },
  {
    name: 'Error',
    className: 'sm:w-2/5 sm:max-w-0',
    cell: (letter) => (
      <span className="block sm:truncate" title={letter.error.message}>
        <span className="text-bad">{letter.error.class}</span> {letter.error.message}
      </span>
    ),
  },
  { name: 'Attempts', align: 'right', className: 'sm:max-lg:hidden', cell: (letter) => letter.attempts },
  { name: 'Failed', align: 'right', cell: (letter) => <Instant at={letter.failed_at} inRow /> },
]

function Paging({ page, search }: { page: Page<DeadLetter>; search: LetterSearch }) {
  const { cursor, open: _, ...newest } = search
  if (cursor === undefined && !page.has_more) return null
  return (
    <nav aria-label="Pages of dead letters" className="mt-3 flex gap-2">
      {cursor !== undefined && (
        <Link to="/dead-letters" search={newest} className={buttonLook()}>
          <Icon name="first" size={14} />
          Newest
        </Link>
      )}
      {page.has_more && page.cursor !== null && (
        <Link to="/dead-letters" search={{ ...newest, cursor: page.cursor }} className={buttonLook()}>
          Older
          <Icon name="next" size={14} />
        </Link>
      )}
    </nav>
  )
}

type Go = (changes: { [Name in keyof LetterSearch]?: LetterSearch[Name] | undefined }) => void

/** The causes beside the letters of one page; choosing a cause leaves only its letters. */
function Loaded({ page, search, go }: { page: Page<DeadLetter>; search: LetterSearch; go: Go }) {
  const letters = page.data
  const chosen = search.cause !== undefined && search.handler !== undefined
  const choose = (facet: Facet | undefined) => go({ cause: facet?.cause, handler: facet?.handler })
  const shown = chosen
    ? letters.filter((letter) => causeOf(letter) === search.cause && letter.handler === search.handler)
    : letters
  return (
    <div className="grid gap-3 lg:grid-cols-[17rem_minmax(0,1fr)]">
      <Facets facets={facetsOf(letters)} chosen={search} onChoose={choose} />
      <div className="min-w-0">
        {chosen && (
          <p className="mb-2 flex items-center gap-2 text-sm">
            Only {search.cause} in {handlerName(search.handler ?? '')}
            <Button look="quiet" icon="cross" onClick={() => choose(undefined)}>
              Show all
            </Button>
          </p>
        )}
        <Panel flush>
          <Table
            label="Dead letters"
            rows={shown}
            keyOf={(letter) => letter.id}
            isCurrent={(letter) => letter.id === search.open}
            columns={columns(search)}
          />
        </Panel>
        <Paging page={page} search={search} />
      </div>
    </div>
  )
}

/** Says that only one webhook's are shown, and leads to it and to all others. */
function OnlyWebhook({ id }: { id: string }) {
  return (
    <p className="mb-3 flex flex-wrap items-center gap-x-2 gap-y-1 text-sm">
      Only what the receiver of
      <Link
        to="/subscriptions"
        search={{ view: 'webhooks', open: id }}
        className="font-medium text-accent hover:underline"
      >
        one webhook
      </Link>
      did not take.
      <Link to="/dead-letters" className={buttonLook('quiet')}>
        <Icon name="cross" size={14} />
        Show all
      </Link>
    </p>
  )
}

function NothingFailed() {
  return (
    <Panel>
      <EmptyState icon="check" title="Nothing has failed">
        Every event that reached its handler was processed. What cannot be, after its attempts, comes here
        with its error.
      </EmptyState>
    </Panel>
  )
}

/** What failed, why, and the way to send it again. */
export function DeadLetters() {
  const search = route.useSearch()
  const navigate = useNavigate()
  const { event_type, webhook, cursor } = search
  const everyMs = useLiveInterval(5000)
  const page = useQuery({
    ...deadLettersQuery({
      ...{ event_type, cursor, limit: rowsPerPage },
      handler: webhook === undefined ? undefined : webhookHandler(webhook),
    }),
    refetchInterval: ({ state }) =>
      (state.error === null ? cursor === undefined : isPassing(state.error)) ? everyMs : false,
  })
  const failed = page.isError && !(page.data && isPassing(page.error))
  const go: Go = (changes) => {
    const next = Object.entries({ ...search, ...changes }).filter(([, value]) => value !== undefined)
    const closes = 'open' in changes && changes.open === undefined
    void navigate({ to: '/dead-letters', search: Object.fromEntries(next), replace: closes })
  }
  return (
    <>
      <PageTitle
        name="Dead letters"
        lead="Events that their handler could not process. Nothing is lost: mend the cause, then redrive."
      >
        <PauseButton />
      </PageTitle>
      {webhook !== undefined && <OnlyWebhook id={webhook} />}
      {failed ? (
        <Failure
          facts={failureFacts(page.error)}
          remedy={remedyOf(page.error)}
          onRetry={() => void page.refetch()}
        />
      ) : page.isPending ? (
        <Loading rows={8} label="Loading dead letters" />
      ) : page.data.data.length === 0 ? (
        <NothingFailed />
      ) : (
        <Loaded page={page.data} search={search} go={go} />
      )}
      {search.open !== undefined && (
        <LetterSheet
          key={search.open}
          id={search.open}
          known={page.data?.data.find((letter) => letter.id === search.open)}
          onClose={() => go({ open: undefined })}
        />
      )}
    </>
  )
}
