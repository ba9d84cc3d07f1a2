import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { type ReactNode, useEffect, useState } from 'react'
import { failureFacts, remedyOf, sessionQuery } from '../api/api.ts'
import { type FilterTrialResult, trialQuery } from '../delivery/queries.ts'
import {
  Button,
  buttonLook,
  EmptyState,
  Failure,
  Icon,
  Loading,
  Panel,
  SelectField,
  Tabs,
} from '../design/design.ts'
import { conditionOf, type Draft, draftFromText, draftOf, textOf } from '../filter-form/draft.ts'
import { FilterForm } from '../filter-form/filter-form.tsx'
import { misreadingOf } from '../filter-form/misreading.ts'
import { PageTitle } from '../shell/shell.tsx'
import { Explain } from './explain.tsx'
import { Result } from './result.tsx'

/** What the address of the page holds: the filter in one of its forms and the past it is tried on; the event and subscriber to explain. */
export interface LabSearch {
  readonly form?: string
  readonly filter?: string
  /** Minutes. */
  readonly last?: string
  /** `explain`: the other half of the page. */
  readonly view?: string
  readonly event?: string
  readonly subscriber?: string
}

const route = getRouteApi('/signed-in/filter-lab')

const spans = [
  ['15', 'Last 15 minutes'],
  ['60', 'Last hour'],
  ['1440', 'Last 24 hours'],
  ['10080', 'Last 7 days'],
] as const
const spanDefault = '60'
const sampleMax = 20

const minutesOf = (last: string | undefined) => {
  const minutes = Number(last ?? spanDefault)
  return Number.isInteger(minutes) && minutes >= 1 && minutes <= 525_600 ? minutes : Number(spanDefault)
}

/** Tries the filter of the address. */
function useTrial({ form, filter, last }: LabSearch) {
  const condition = filter === undefined ? undefined : conditionOf(draftFromText(form, filter))
  const isWhole = condition !== undefined && !('flaw' in condition)
  const trial = useQuery({
    ...trialQuery({
      condition: isWhole ? condition : { expression: '' },
      last_minutes: minutesOf(last),
      limit: sampleMax,
    }),
    enabled: isWhole,
  })
  // Without a filter nothing is asked; what was asked before is not shown as if it were.
  return { ...trial, data: isWhole ? trial.data : undefined }
}

/** What to do with a filter that does what it should. */
function Next({ result }: { result: FilterTrialResult }) {
  const session = useQuery(sessionQuery).data
  const { expression } = result
  return (
    <>
      {session?.scopes.includes('filters:write') && !result.refused && (
        <Link to="/subscriptions" search={{ open: 'new', expression }} className={buttonLook()}>
          <Icon name="plus" size={14} />
          Store for a subscriber
        </Link>
      )}
      <Link to="/live" search={{ filter: expression }} className={buttonLook()}>
        <Icon name="live" size={14} />
        Watch live
      </Link>
    </>
  )
}

/** What is being written. It begins with the filter of the address, and knows every form of it once it was read. */
function useDraft({ form, filter }: LabSearch, result: FilterTrialResult | undefined) {
  const [draft, setDraft] = useState(() => draftFromText(form, filter))
  // The way back, or a link, brings another filter.
  useEffect(() => {
    setDraft((held) => (held.form === form && textOf(held) === filter ? held : draftFromText(form, filter)))
  }, [form, filter])
  // The form that somebody writes in stays as it was written.
  useEffect(() => {
    if (result)
      setDraft((held) =>
        textOf(held) === filter ? { ...draftOf(result, held.form), [held.form]: held[held.form] } : held,
      )
  }, [result, filter])
  return [draft, setDraft] as const
}

function Editor({
  search,
  onTest,
  busy,
  error,
  result,
  children,
}: {
  search: LabSearch
  onTest: (draft: Draft, last: string) => void
  busy: boolean
  error: unknown
  result: FilterTrialResult | undefined
  children: ReactNode
}) {
  const { form, filter } = search
  const [draft, setDraft] = useDraft(search, result)
  const [last, setLast] = useState(search.last ?? spanDefault)
  const [flaw, setFlaw] = useState<string>()
  const send = () => {
    const condition = conditionOf(draft)
    setFlaw('flaw' in condition ? condition.flaw : undefined)
    if (!('flaw' in condition)) onTest(draft, last)
  }
  const misreading = misreadingOf(error)
  return (
    <Panel className="mb-3">
      <FilterForm
        draft={draft}
        onChange={(next) => {
          setFlaw(undefined)
          setDraft(next)
        }}
        onSend={send}
        flaw={flaw}
        // What was wrong with one form says nothing of what stands in another.
        misreading={draft.form === (form ?? 'expression') ? misreading : undefined}
        readText={form === 'expression' || form === undefined ? filter : undefined}
      />
      <div className="mt-3 flex flex-wrap items-end gap-x-3 gap-y-2">
        <SelectField
          label="Try it on"
          value={last}
          onChange={(change) => setLast(change.target.value)}
          className="w-44"
        >
          {spans.map(([value, name]) => (
            <option key={value} value={value}>
              {name}
            </option>
          ))}
        </SelectField>
        <Button look="primary" icon="lab" busy={busy} onClick={send}>
          Test
        </Button>
        {children}
      </div>
    </Panel>
  )
}

/** The filter that is being written, and what came of its last trial. */
function Trial({ search }: { search: LabSearch }) {
  const navigate = useNavigate()
  const trial = useTrial(search)
  const test = (draft: Draft, last: string) => {
    const isSame =
      draft.form === (search.form ?? 'expression') &&
      textOf(draft) === search.filter &&
      last === (search.last ?? spanDefault)
    if (isSame) void trial.refetch()
    else
      void navigate({
        to: '/filter-lab',
        search: {
          form: draft.form,
          filter: textOf(draft),
          ...(last === spanDefault ? {} : { last }),
        },
      })
  }
  const misreading = misreadingOf(trial.error)
  return (
    <>
      <Editor
        search={search}
        onTest={test}
        busy={trial.isFetching}
        error={trial.error}
        result={trial.isPlaceholderData ? undefined : trial.data}
      >
        {trial.data && !trial.isPlaceholderData && <Next result={trial.data} />}
      </Editor>
      {trial.isError && !misreading ? (
        <div className="-m-4 mt-0">
          <Failure
            facts={failureFacts(trial.error)}
            remedy={remedyOf(trial.error)}
            onRetry={() => void trial.refetch()}
          />
        </div>
      ) : trial.data && !trial.isError ? (
        <Result result={trial.data} stale={trial.isFetching} />
      ) : trial.isFetching ? (
        <Loading rows={8} label="Testing the filter" />
      ) : (
        !misreading && <Beginning />
      )}
    </>
  )
}

const views = { trial: 'Try a filter', explain: 'Explain a delivery' } as const

/** A filter is written here, tried on the past, and seen in each of its forms; and a delivery is explained. */
export function FilterLab() {
  const search = route.useSearch()
  const navigate = useNavigate()
  const go = (to: LabSearch) => void navigate({ to: '/filter-lab', search: to })
  const isExplaining = search.view === 'explain'
  const { view: _, event, subscriber, ...trial } = search
  return (
    <>
      <PageTitle
        name="Filter lab"
        lead="Write a filter and see what it would have let through, or ask why somebody got an event."
      />
      <Tabs
        label="What to find out"
        chosen={isExplaining ? views.explain : views.trial}
        onChoose={(name) => go(name === views.explain ? { ...trial, view: 'explain' } : trial)}
        tabs={[
          { name: views.trial, content: <Trial search={search} /> },
          {
            name: views.explain,
            content: (
              <Explain
                key={`${event} ${subscriber}`}
                event={event}
                subscriber={subscriber}
                onAsk={(event, subscriber) => go({ ...trial, view: 'explain', event, subscriber })}
              />
            ),
          },
        ]}
      />
    </>
  )
}

const examples = [
  ['What is worth more than 100', 'event_type = "purchase" and properties.amount > 100'],
  ['A whole family of types', 'event_type = "order.*"'],
  ['Some users, not others', 'user_id starts with "user_" and user_id != "user_7"'],
  ['What lacks a member', 'properties.user_tier missing'],
] as const

/** What stands on the page before the first trial: filters to begin with. */
function Beginning() {
  return (
    <Panel>
      <EmptyState icon="lab" title="Nothing tested yet">
        Nothing is stored by a test. Begin with one of these:
      </EmptyState>
      <ul className="-mt-6 mb-4 grid gap-2 md:grid-cols-2">
        {examples.map(([name, filter]) => (
          <li key={name}>
            <Link
              to="/filter-lab"
              search={{ form: 'expression', filter }}
              className="block rounded-md border border-hairline px-3 py-2 hover:bg-hover"
            >
              <span className="block font-medium">{name}</span>
              <code className="font-mono text-xs leading-5 text-muted">{filter}</code>
            </Link>
          </li>
        ))}
      </ul>
    </Panel>
  )
}
