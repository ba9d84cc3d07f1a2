import { useState } from 'react'
import { PulseError } from '../api/api.ts'
import type { Condition } from '../delivery/queries.ts'
import { SelectField, TextField } from '../design/design.ts'
import { conditionOf, type Draft, draftOfCondition, emptyDraft } from '../filter-form/draft.ts'
import { FilterForm } from '../filter-form/filter-form.tsx'
import { misreadingOf } from '../filter-form/misreading.ts'

/** What somebody writes about a webhook. */
export interface WebhookFields {
  readonly subscriber: string
  readonly url: string
  /** True: a filter of its own. False: what the stored filters of the subscriber let through. */
  readonly hasFilter: boolean
  readonly draft: Draft
}

/** What the fields say, as the server takes it. */
export interface WebhookWish {
  readonly subscriber_id: string
  readonly url: string
  readonly filter: Condition | null
}

type Field = 'subscriber_id' | 'url' | 'filter'
interface Flaw {
  readonly field: Field
  readonly text: string
}

/** The fields of a webhook that is stored, or of a new one. */
export function fieldsOf(webhook: Partial<WebhookWish>): WebhookFields {
  const { subscriber_id = '', url = '', filter } = webhook
  return {
    ...{ subscriber: subscriber_id, url, hasFilter: !!filter },
    draft: filter ? draftOfCondition(filter) : emptyDraft,
  }
}

function wishOf({ subscriber, url, hasFilter, draft }: WebhookFields): WebhookWish | Flaw {
  if (subscriber.trim() === '') return { field: 'subscriber_id', text: 'Say whose events are sent.' }
  if (url.trim() === '') return { field: 'url', text: 'Say where to.' }
  const filter = hasFilter ? conditionOf(draft) : null
  if (filter && 'flaw' in filter) return { field: 'filter', text: filter.flaw }
  return { subscriber_id: subscriber.trim(), url: url.trim(), filter }
}

/**
 * What the wish changes of a webhook that is stored; undefined if nothing. That is read as the form shows it: stored, a
 * filter may leave out members that the form has.
 */
export function changeOf(
  webhook: Pick<WebhookWish, 'url' | 'filter'>,
  wish: WebhookWish,
): Partial<Pick<WebhookWish, 'url' | 'filter'>> | undefined {
  const stored = wishOf(fieldsOf({ ...webhook, subscriber_id: wish.subscriber_id }))
  const isSame = !('field' in stored) && JSON.stringify(wish.filter) === JSON.stringify(stored.filter)
  const url = wish.url === webhook.url ? {} : { url: wish.url }
  const change = { ...url, ...(isSame ? {} : { filter: wish.filter }) }
  return Object.keys(change).length > 0 ? change : undefined
}

/** What the server said about one field; undefined if it said nothing about it. */
function refusalOf(error: unknown, field: Field): string | undefined {
  if (!(error instanceof PulseError)) return undefined
  const said = error.errors.find(({ pointer }) => pointer === `/${field}`)?.detail
  return said && `${said.charAt(0).toUpperCase()}${said.slice(1)}.`
}

/** True for a failure that stands beside the field that it is about. */
export const isAboutAField = (error: unknown): boolean =>
  misreadingOf(error) !== undefined ||
  (['subscriber_id', 'url'] as const).some((field) => refusalOf(error, field) !== undefined)

/**
 * Keeps what is written, until `forget`, and what is missing in it. A field that was not written in shows what is stored,
 * so what somebody else changes meanwhile is not changed back. `read` is the wish, or undefined if something is missing.
 */
export function useWebhookFields(stored: WebhookFields) {
  const [written, setWritten] = useState<Partial<WebhookFields>>({})
  const [flaw, setFlaw] = useState<Flaw>()
  const fields = { ...stored, ...written }
  const write = (part: Partial<WebhookFields>) => setWritten({ ...written, ...part })
  const forget = () => setWritten({})
  const read = (): WebhookWish | undefined => {
    const wish = wishOf(fields)
    setFlaw('field' in wish ? wish : undefined)
    return 'field' in wish ? undefined : wish
  }
  return { fields, written, write, forget, flaw, read }
}

/** Whose events are sent, where to, and which. */
export function WebhookForm({
  form: { fields, write, flaw },
  isNew,
  refusal,
  onSend,
}: {
  form: ReturnType<typeof useWebhookFields>
  isNew: boolean
  refusal: unknown
  onSend: () => void
}) {
  const { subscriber, url, hasFilter, draft } = fields
  const flawOf = (field: Field) => (flaw?.field === field ? flaw.text : refusalOf(refusal, field))
  return (
    <div className="grid gap-3">
      {isNew && (
        <TextField
          label="Subscriber"
          value={subscriber}
          data-focus
          placeholder="user_1"
          onChange={(typed) => write({ subscriber: typed.target.value })}
          hint="Whose events are sent."
          error={flawOf('subscriber_id')}
        />
      )}
      <TextField
        label="Address"
        value={url}
        inputMode="url"
        placeholder="https://hooks.example.com/pulse"
        onChange={(typed) => write({ url: typed.target.value })}
        hint="Takes a POST per event. https, of the public internet."
        error={flawOf('url')}
      />
      <SelectField
        label="What is sent"
        value={hasFilter ? 'own' : 'stored'}
        onChange={(chosen) => write({ hasFilter: chosen.target.value === 'own' })}
      >
        <option value="stored">What the stored filters let through</option>
        <option value="own">What a filter of its own lets through</option>
      </SelectField>
      {hasFilter && (
        <FilterForm
          draft={draft}
          onChange={(changed) => write({ draft: changed })}
          onSend={onSend}
          flaw={flaw?.field === 'filter' ? flaw.text : undefined}
          misreading={misreadingOf(refusal)}
          readText={draft.expression}
        />
      )}
    </div>
  )
}
