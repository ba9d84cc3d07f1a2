import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { failureFacts, remedyOf, sessionQuery } from '../api/api.ts'
import { Button, Code, Failure, Sheet } from '../design/design.ts'
import { type NewWebhook, webhookKeys, webhooks } from './queries.ts'
import { TestOutcome, useTestEvent } from './test-event.tsx'
import { fieldsOf, isAboutAField, useWebhookFields, WebhookForm, type WebhookWish } from './webhook-form.tsx'

/** The secret of a webhook that was just made, and the first try of it. */
function Made({ made, onDone }: { made: NewWebhook; onDone: () => void }) {
  const sent = useTestEvent()
  return (
    <Sheet
      title="The webhook is made"
      onClose={onDone}
      footer={
        <div className="flex flex-wrap justify-end gap-2">
          <Button onClick={() => sent.mutate(made.id)} busy={sent.isPending} icon="play">
            Send a test event
          </Button>
          <Button look="primary" icon="check" onClick={onDone} data-focus>
            I have kept the secret
          </Button>
        </div>
      }
    >
      <div className="grid gap-3">
        <p>
          This is its secret, shown this once. Every request is signed with it as{' '}
          <a href="https://www.standardwebhooks.com" className="underline underline-offset-2">
            Standard Webhooks
          </a>{' '}
          has it: give it to the receiver, which checks that a request is from here.
        </p>
        <Code text={made.secret} label="the secret" wrap />
        <TestOutcome sent={sent} />
      </div>
    </Sheet>
  )
}

function useMake(onMade: (made: NewWebhook) => void) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (wish: WebhookWish) => webhooks.create(wish),
    onSuccess: (made) => {
      onMade(made)
      for (const key of webhookKeys) void client.invalidateQueries({ queryKey: [key] })
    },
  })
}

/** Makes a webhook, and shows its secret. */
export function NewWebhookSheet({
  subscriber,
  onClose,
  onOpen,
}: {
  subscriber: string | undefined
  onClose: () => void
  onOpen: (id: string) => void
}) {
  const session = useQuery(sessionQuery).data
  const [made, setMade] = useState<NewWebhook>()
  const form = useWebhookFields(fieldsOf(subscriber === undefined ? {} : { subscriber_id: subscriber }))
  const make = useMake(setMade)
  if (made) return <Made made={made} onDone={() => onOpen(made.id)} />
  const send = () => {
    const wish = form.read()
    if (wish) make.mutate(wish)
  }
  const may = (['filters:write', 'stream:read'] as const).every((scope) => session?.scopes.includes(scope))
  return (
    <Sheet
      title="New webhook"
      onClose={onClose}
      footer={
        may ? (
          <div className="flex justify-end">
            <Button look="primary" icon="check" onClick={send} busy={make.isPending}>
              Make it
            </Button>
          </div>
        ) : (
          <p className="text-sm text-muted">To make webhooks, sign in as an operator.</p>
        )
      }
    >
      <WebhookForm form={form} isNew refusal={make.error} onSend={send} />
      {make.isError && !isAboutAField(make.error) && (
        <div className="-mx-4">
          <Failure facts={failureFacts(make.error)} remedy={remedyOf(make.error)} />
        </div>
      )}
      <p className="mt-3 text-sm text-muted">
        It begins with what comes from now on. The next page shows its secret, once.
      </p>
    </Sheet>
  )
}
