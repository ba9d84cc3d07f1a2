import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { failureFacts, isPassing, remedyOf, sessionQuery } from '../api/api.ts'
import {
  Ask,
  Button,
  CopyText,
  classNames,
  ExactInstant,
  Fact,
  Facts,
  Failure,
  formatCount,
  Loading,
  Sheet,
  useToast,
} from '../design/design.ts'
import { useLiveInterval } from '../shell/shell.tsx'
import { GivenUp } from './given-up.tsx'
import { type Webhook, type WebhookChange, webhookKeys, webhookQuery, webhooks } from './queries.ts'
import { TestOutcome, useTestEvent } from './test-event.tsx'
import { changeOf, fieldsOf, isAboutAField, useWebhookFields, WebhookForm } from './webhook-form.tsx'
import { Behind, WebhookBadge } from './webhook-state.tsx'

/** What is done to a webhook; `deleted` ends it. */
type Deed =
  | { readonly kind: 'changed' | 'paused' | 'resumed'; readonly change: WebhookChange }
  | { readonly kind: 'deleted' }

function useDeeds({ id, url }: Webhook, onGone: () => void) {
  const client = useQueryClient()
  const show = useToast()
  return useMutation({
    mutationFn: async (deed: Deed) => {
      if (deed.kind === 'deleted') await webhooks.remove(id)
      else client.setQueryData(webhookQuery(id).queryKey, await webhooks.change(id, deed.change))
    },
    onSuccess: async (_, deed) => {
      show(`The webhook to ${new URL(url).host} is ${deed.kind}.`)
      if (deed.kind === 'deleted') onGone()
      // One that is gone is not asked for any more: it would only be told as missing.
      const old = webhookKeys.filter((key) => deed.kind !== 'deleted' || key !== 'webhook')
      await Promise.all(old.map((key) => client.invalidateQueries({ queryKey: [key] })))
    },
  })
}

/** Why nothing is sent, or why it is not taken. */
function Trouble({ webhook: { status, reason } }: { webhook: Webhook }) {
  if (reason === null) return null
  const isBad = status === 'failing'
  return (
    <p className={classNames('mb-3 rounded-md px-3 py-2', isBad ? 'bg-bad-soft' : 'bg-hover')}>
      <span className={classNames('block text-sm font-medium', isBad ? 'text-bad' : 'text-muted')}>
        {isBad ? 'The last attempts failed; it goes on trying' : 'Nothing is sent while it is paused'}
      </span>
      {reason.charAt(0).toUpperCase() + reason.slice(1)}.
    </p>
  )
}

type LastGap = NonNullable<Webhook['last_gap']>

const gapReasons: Record<LastGap['reason'], string> = {
  retention: 'The log did not reach back so far',
  epoch: 'The log is another one',
  corrupt: 'A batch of the log is damaged',
  dropped: 'Events were dropped',
}
const gapTold: Record<LastGap['told'], string> = {
  not_yet: 'the receiver has not been told yet',
  yes: 'the receiver was told',
  never: 'the receiver could not be told',
}

const Never = () => <span className="text-faint">never</span>

function Particulars({ webhook }: { webhook: Webhook }) {
  const { gaps, last_gap, last_gap_at, last_success_at, last_failure_at } = webhook
  return (
    <Facts>
      <Fact name="State">
        <WebhookBadge status={webhook.status} />
      </Fact>
      <Fact name="Subscriber">
        <CopyText text={webhook.subscriber_id} what="the subscriber" />
      </Fact>
      <Fact name="Behind">
        <Behind webhook={webhook} />
      </Fact>
      <Fact name="Delivered">{formatCount(webhook.delivered)}</Fact>
      <Fact name="Failed attempts">
        {webhook.failures === 0 ? 'none' : formatCount(webhook.failures)} since the last success
      </Fact>
      <Fact name="Dead letters">{formatCount(webhook.given_up)}</Fact>
      <Fact name="Parked">
        {webhook.parked === 0 ? 'none' : `${formatCount(webhook.parked)} behind keys that it does not take`}
      </Fact>
      <Fact name="Gaps">
        {gaps === 0 || last_gap_at === null ? (
          'none'
        ) : (
          <span className="text-bad">
            {formatCount(gaps)}, last <ExactInstant at={last_gap_at} />
          </span>
        )}
      </Fact>
      {last_gap && (
        <Fact name="Last gap">
          {gapReasons[last_gap.reason]}; {gapTold[last_gap.told]}
        </Fact>
      )}
      <Fact name="Last success">{last_success_at ? <ExactInstant at={last_success_at} /> : <Never />}</Fact>
      <Fact name="Last failure">{last_failure_at ? <ExactInstant at={last_failure_at} /> : <Never />}</Fact>
      <Fact name="Made">
        <ExactInstant at={webhook.created_at} />
      </Fact>
      <Fact name="Id">
        <CopyText text={webhook.id} what="the id" />
      </Fact>
    </Facts>
  )
}

function useActions(webhook: Webhook, onClose: () => void) {
  const form = useWebhookFields(fieldsOf(webhook))
  const [wanted, setWanted] = useState<Deed>()
  /** What was written when there was nothing to change; it is said until something else is. */
  const [vain, setVain] = useState<typeof form.written>()
  const sent = useTestEvent()
  const deeds = useDeeds(webhook, onClose)
  const askToChange = () => {
    deeds.reset()
    const wish = form.read()
    const change = wish && changeOf(webhook, wish)
    setVain(wish && !change ? form.written : undefined)
    if (change) setWanted({ kind: 'changed', change })
  }
  const act = (deed: Deed) =>
    deeds.mutate(deed, {
      onSuccess: () => deed.kind === 'changed' && form.forget(),
      onSettled: () => setWanted(undefined),
    })
  return { form, isVain: vain === form.written, wanted, setWanted, sent, deeds, askToChange, act }
}

function Actions({
  webhook,
  actions: { wanted, setWanted, deeds, askToChange, act },
}: {
  webhook: Webhook
  actions: ReturnType<typeof useActions>
}) {
  const session = useQuery(sessionQuery).data
  if (!session?.scopes.includes('filters:write'))
    return <p className="text-sm text-muted">To change webhooks, sign in as an operator.</p>
  if (wanted)
    return (
      <Ask
        text={
          wanted.kind === 'deleted'
            ? 'Delete it? Nothing is sent by it any more, and its dead letters cannot be redriven.'
            : 'Change it? What comes from now on, and what waits, is sent by the new one.'
        }
        yes={wanted.kind === 'deleted' ? 'Yes, delete' : 'Yes, change'}
        busy={deeds.isPending}
        danger={wanted.kind === 'deleted'}
        onYes={() => act(wanted)}
        onNo={() => setWanted(undefined)}
      />
    )
  const isPaused = webhook.status === 'paused'
  return (
    <div className="flex flex-wrap items-center gap-2">
      <Button look="quiet" className="text-bad!" onClick={() => setWanted({ kind: 'deleted' })}>
        Delete
      </Button>
      <div className="ml-auto flex flex-wrap justify-end gap-2">
        <Button
          icon={isPaused ? 'play' : 'pause'}
          busy={deeds.isPending}
          onClick={() =>
            act(
              isPaused
                ? { kind: 'resumed', change: { status: 'active' } }
                : { kind: 'paused', change: { status: 'paused' } },
            )
          }
        >
          {isPaused ? 'Resume' : 'Pause'}
        </Button>
        <Button look="primary" icon="check" onClick={askToChange}>
          Change
        </Button>
      </div>
    </div>
  )
}

function Loaded({ webhook, onClose }: { webhook: Webhook; onClose: () => void }) {
  const actions = useActions(webhook, onClose)
  const { form, isVain, sent, deeds, askToChange } = actions
  const may = useQuery(sessionQuery).data?.scopes.includes('filters:write')
  return (
    <Sheet
      title={<span className="break-all">{webhook.url.replace(/^https:\/\//, '')}</span>}
      onClose={onClose}
      footer={<Actions webhook={webhook} actions={actions} />}
    >
      <Trouble webhook={webhook} />
      <Particulars webhook={webhook} />
      <div className="mt-3 grid justify-items-start gap-2">
        {may && (
          <Button icon="webhook" busy={sent.isPending} onClick={() => sent.mutate(webhook.id)}>
            Send a test event
          </Button>
        )}
        <TestOutcome sent={sent} />
      </div>
      <GivenUp webhookId={webhook.id} count={webhook.given_up} />
      <h3 className="mt-4 mb-2 font-semibold">Where to, and what</h3>
      <WebhookForm form={form} isNew={false} refusal={deeds.error} onSend={askToChange} />
      {/* Not in passing: that would be said behind the sheet. */}
      <p role="status" className="mt-2 text-sm text-muted">
        {isVain && 'Nothing to change: it is stored like that already.'}
      </p>
      {deeds.isError && !isAboutAField(deeds.error) && (
        <div className="-mx-4">
          <Failure facts={failureFacts(deeds.error)} remedy={remedyOf(deeds.error)} />
        </div>
      )}
    </Sheet>
  )
}

/** One webhook beside the list, to read, change, pause, try or delete. `known` is what the list holds of it. */
export function WebhookSheet({
  id,
  known,
  onClose,
}: {
  id: string
  known: Webhook | undefined
  onClose: () => void
}) {
  const everyMs = useLiveInterval(2_000)
  const asked = useQuery({
    ...webhookQuery(id),
    refetchInterval: ({ state }) => (state.error === null || isPassing(state.error) ? everyMs : false),
  })
  const webhook = asked.data ?? known
  if (webhook) return <Loaded webhook={webhook} onClose={onClose} />
  return (
    <Sheet title="Webhook" onClose={onClose}>
      {asked.isError ? (
        <Failure
          facts={failureFacts(asked.error)}
          remedy={remedyOf(asked.error)}
          onRetry={() => void asked.refetch()}
        />
      ) : (
        <Loading rows={6} label="Loading the webhook" />
      )}
    </Sheet>
  )
}
