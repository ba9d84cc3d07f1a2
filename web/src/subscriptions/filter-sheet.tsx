import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import { failureFacts, remedyOf, sessionQuery } from '../api/api.ts'
import { type Condition, type Filter, filterQuery, filters } from '../delivery/queries.ts'
import {
  Ask,
  Button,
  buttonLook,
  CopyText,
  ExactInstant,
  Fact,
  Facts,
  Failure,
  Loading,
  Sheet,
  TextField,
  useToast,
} from '../design/design.ts'
import { conditionOf, type Draft, draftFromText, draftOf, textOf } from '../filter-form/draft.ts'
import { FilterForm } from '../filter-form/filter-form.tsx'
import { misreadingOf } from '../filter-form/misreading.ts'

/** What is about to be done, and waits for a yes. */
type Wanted = { readonly kind: 'store'; readonly condition: Condition } | { readonly kind: 'delete' }

interface Owner {
  readonly subscriber: string
  readonly name: string
}

/** Stores, changes or deletes, and then shows lists that know of it. */
function useChange(existing: Filter | undefined, onDone: () => void) {
  const client = useQueryClient()
  const show = useToast()
  return useMutation({
    mutationFn: async ({ wanted, subscriber, name }: Owner & { wanted: Wanted }) => {
      if (wanted.kind === 'delete') await filters.remove(subscriber, name)
      else if (existing) await filters.update(subscriber, name, wanted.condition)
      else await filters.create({ subscriber_id: subscriber, name, ...wanted.condition })
    },
    onSuccess: async (_, { wanted, subscriber, name }) => {
      const done = wanted.kind === 'delete' ? 'deleted' : existing ? 'changed' : 'stored'
      show(`The filter ${name} of ${subscriber} is ${done}.`)
      await Promise.all(
        ['filters', 'filter', 'streams'].map((key) => client.invalidateQueries({ queryKey: [key] })),
      )
      onDone()
    },
  })
}

function question(wanted: Wanted, { subscriber, name }: Owner, exists: boolean): string {
  if (wanted.kind === 'delete')
    return `Delete the filter ${name}? ${subscriber} gets no more by it from now on. What came before is still delivered.`
  return exists
    ? `Change it? From now on ${subscriber} gets what the new one lets through, also on streams that are open.`
    : `Store it? From now on ${subscriber} gets what it lets through.`
}

function Particulars({ filter }: { filter: Filter }) {
  return (
    <div className="mt-4">
      <Facts>
        <Fact name="Subscriber">
          <CopyText text={filter.subscriber_id} what="the subscriber" />
        </Fact>
        <Fact name="Version">{filter.version}</Fact>
        <Fact name="Applies from">
          {filter.effective === null ? (
            <span className="text-warn">not yet: it is being made known</span>
          ) : (
            <CopyText text={filter.effective} what="the position" />
          )}
        </Fact>
        <Fact name="Changed">
          <ExactInstant at={filter.updated_at} />
        </Fact>
        <Fact name="Stored first">
          <ExactInstant at={filter.created_at} />
        </Fact>
      </Facts>
    </div>
  )
}

interface EditorProps {
  readonly existing: Filter | undefined
  readonly draft: Draft
  readonly subscriber: string
  readonly onClose: () => void
}

/** The way to the lab, where a filter is tried before it is stored. */
function TryIt({ draft }: { draft: Draft }) {
  return (
    <Link
      to="/filter-lab"
      search={{ form: draft.form, filter: textOf(draft) }}
      className={buttonLook('quiet')}
    >
      Try it on the past
    </Link>
  )
}

function useEditor({ existing, draft: first, subscriber: named, onClose }: EditorProps) {
  const [draft, setDraft] = useState(first)
  const [owner, setOwner] = useState<Owner>({
    subscriber: existing?.subscriber_id ?? named,
    name: existing?.name ?? 'default',
  })
  const [wanted, setWanted] = useState<Wanted>()
  const [flaw, setFlaw] = useState<{ field: 'subscriber' | 'name' | 'filter'; text: string }>()
  const change = useChange(existing, onClose)
  const askToStore = () => {
    const condition = conditionOf(draft)
    change.reset()
    if (owner.subscriber.trim() === '') setFlaw({ field: 'subscriber', text: 'Say whose filter it is.' })
    else if (owner.name.trim() === '') setFlaw({ field: 'name', text: 'Give it a name.' })
    else if ('flaw' in condition) setFlaw({ field: 'filter', text: condition.flaw })
    else {
      setFlaw(undefined)
      setWanted({ kind: 'store', condition })
    }
  }
  const yes = () => {
    if (!wanted) return
    const trimmed = { subscriber: owner.subscriber.trim(), name: owner.name.trim() }
    change.mutate({ wanted, ...trimmed }, { onError: () => setWanted(undefined) })
  }
  return { draft, setDraft, owner, setOwner, wanted, setWanted, flaw, change, askToStore, yes }
}

/** What can be done: store or change, delete, or say yes to one of them. */
function Actions({
  existing,
  editor: { draft, owner, wanted, setWanted, change, askToStore, yes },
}: {
  existing: Filter | undefined
  editor: ReturnType<typeof useEditor>
}) {
  const session = useQuery(sessionQuery).data
  if (!session?.scopes.includes('filters:write'))
    return <p className="text-sm text-muted">To change filters, sign in as an operator.</p>
  if (wanted)
    return (
      <Ask
        text={question(wanted, owner, existing !== undefined)}
        yes={wanted.kind === 'delete' ? 'Yes, delete' : existing ? 'Yes, change' : 'Yes, store'}
        busy={change.isPending}
        danger={wanted.kind === 'delete'}
        onYes={yes}
        onNo={() => setWanted(undefined)}
      />
    )
  return (
    <div className="flex flex-wrap items-center gap-2">
      {existing && (
        <Button look="quiet" className="text-bad!" onClick={() => setWanted({ kind: 'delete' })}>
          Delete
        </Button>
      )}
      <div className="ml-auto flex flex-wrap gap-2">
        <TryIt draft={draft} />
        <Button look="primary" icon="check" onClick={askToStore}>
          {existing ? 'Change' : 'Store'}
        </Button>
      </div>
    </div>
  )
}

function Editor(props: EditorProps) {
  const { existing, onClose } = props
  const editor = useEditor(props)
  const { draft, setDraft, owner, setOwner, flaw, change, askToStore } = editor
  const misreading = misreadingOf(change.error)
  const flawOf = (field: 'subscriber' | 'name' | 'filter') => (flaw?.field === field ? flaw.text : undefined)
  return (
    <Sheet
      title={existing ? `${existing.subscriber_id} · ${existing.name}` : 'New filter'}
      onClose={onClose}
      footer={<Actions existing={existing} editor={editor} />}
    >
      {!existing && (
        <div className="mb-4 grid gap-3 sm:grid-cols-2">
          <TextField
            label="Subscriber"
            value={owner.subscriber}
            data-focus
            placeholder="user_1"
            onChange={(typed) => setOwner({ ...owner, subscriber: typed.target.value })}
            hint="Who gets what it lets through."
            error={flawOf('subscriber')}
          />
          <TextField
            label="Name"
            value={owner.name}
            onChange={(typed) => setOwner({ ...owner, name: typed.target.value })}
            hint="A subscriber may have several."
            error={flawOf('name')}
          />
        </div>
      )}
      <FilterForm
        draft={draft}
        onChange={setDraft}
        onSend={askToStore}
        flaw={flawOf('filter')}
        misreading={misreading}
        readText={draft.expression}
      />
      {change.isError && !misreading && (
        <div className="-mx-4">
          <Failure facts={failureFacts(change.error)} remedy={remedyOf(change.error)} />
        </div>
      )}
      {existing && <Particulars filter={existing} />}
    </Sheet>
  )
}

/** One stored filter beside the list, to read, change or delete. `known` spares the question when the list holds it. */
export function FilterSheet({
  subscriber,
  name,
  known,
  onClose,
}: {
  subscriber: string
  name: string
  known: Filter | undefined
  onClose: () => void
}) {
  const asked = useQuery({ ...filterQuery(subscriber, name), enabled: known === undefined })
  const filter = known ?? asked.data
  if (filter)
    return (
      <Editor
        existing={filter}
        draft={draftOf(filter, 'expression')}
        subscriber={subscriber}
        onClose={onClose}
      />
    )
  return (
    <Sheet title={`${subscriber} · ${name}`} onClose={onClose}>
      {asked.isError ? (
        <Failure
          facts={failureFacts(asked.error)}
          remedy={remedyOf(asked.error)}
          onRetry={() => void asked.refetch()}
        />
      ) : (
        <Loading rows={6} label="Loading the filter" />
      )}
    </Sheet>
  )
}

/** Makes a filter; a link may bring who it is for and what it asks. */
export function NewFilterSheet({
  subscriber,
  expression,
  onClose,
}: {
  subscriber: string | undefined
  expression: string | undefined
  onClose: () => void
}) {
  return (
    <Editor
      existing={undefined}
      draft={draftFromText('expression', expression)}
      subscriber={subscriber ?? ''}
      onClose={onClose}
    />
  )
}
