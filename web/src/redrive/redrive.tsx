import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { type DeadLetter, failureFacts, pulse, remedyOf, sessionQuery } from '../api/api.ts'
import { handlerName, webhookOf } from '../dead-letters/handlers.ts'
import { Button, Failure, useToast } from '../design/design.ts'

/** Sends one dead letter to its handler again, after asking. Says why not to whoever may not. */
export function Redrive({ letter, onDone }: { letter: DeadLetter; onDone?: () => void }) {
  const [asked, setAsked] = useState(false)
  const client = useQueryClient()
  const show = useToast()
  const session = useQuery(sessionQuery).data
  const redrive = useMutation({
    mutationFn: () => pulse.deadLetters.redrive(letter.id),
    onSuccess: async () => {
      setAsked(false)
      show(`${letter.event_type} is on its way to ${handlerName(letter.handler)} again.`)
      await Promise.all(
        ['dead-letters', 'dead-letter', 'event', 'events'].map((key) =>
          client.invalidateQueries({ queryKey: [key] }),
        ),
      )
      onDone?.()
    },
  })
  const allowed = session?.scopes.includes('admin') ?? false
  if (letter.state === 'redriven') return <p className="text-sm text-muted">It was sent again.</p>
  if (!allowed) return <p className="text-sm text-muted">To redrive it, sign in as an administrator.</p>
  return (
    <div>
      {asked ? (
        <div className="flex flex-wrap items-center gap-2">
          <p className="mr-auto text-sm">
            Send this event to <code className="font-mono">{handlerName(letter.handler)}</code> again?{' '}
            {webhookOf(letter.handler) === undefined
              ? 'Its id stays the same, so what it already did is not done twice.'
              : 'Its webhook-id stays the same, by which the receiver can tell if it has it already.'}
          </p>
          <Button look="quiet" onClick={() => setAsked(false)} disabled={redrive.isPending}>
            Cancel
          </Button>
          <Button
            look="primary"
            icon="retry"
            busy={redrive.isPending}
            onClick={() => redrive.mutate()}
            // The button that was pressed is gone; the focus goes on to its successor.
            autoFocus
          >
            Yes, redrive
          </Button>
        </div>
      ) : (
        <Button look="primary" icon="retry" onClick={() => setAsked(true)}>
          Redrive
        </Button>
      )}
      {redrive.isError && <Failure facts={failureFacts(redrive.error)} remedy={remedyOf(redrive.error)} />}
    </div>
  )
}
