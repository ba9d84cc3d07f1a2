import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { type DeadLetter, deadLetterQuery, failureFacts, remedyOf } from '../api/api.ts'
import {
  Code,
  CopyText,
  ExactInstant,
  Fact,
  Facts,
  Failure,
  formatJson,
  Loading,
  Sheet,
  StateBadge,
} from '../design/design.ts'
import { Redrive } from '../redrive/redrive.tsx'
import { handlerName, webhookOf } from './handlers.ts'

/** What failed: a handler, or a webhook with the way to it. */
function Handler({ name }: { name: string }) {
  const webhook = webhookOf(name)
  if (webhook === undefined) return <code className="font-mono text-sm">{name}</code>
  return (
    <Link
      to="/subscriptions"
      search={{ view: 'webhooks', open: webhook }}
      className="underline underline-offset-2"
    >
      {handlerName(name)}
    </Link>
  )
}

function Letter({ letter }: { letter: DeadLetter }) {
  return (
    <>
      <p className="rounded-md bg-bad-soft px-3 py-2 font-medium">
        <span className="block text-sm font-normal text-bad">{letter.error.class}</span>
        {letter.error.message}
      </p>
      <div className="mt-3">
        <Facts>
          <Fact name="State">
            <StateBadge state={letter.state} />
          </Fact>
          <Fact name="Handler">
            <Handler name={letter.handler} />
          </Fact>
          <Fact name="Attempts">{letter.attempts}</Fact>
          <Fact name="Failed">
            <ExactInstant at={letter.failed_at} />
          </Fact>
          <Fact name="Received">
            <ExactInstant at={letter.received_at} />
          </Fact>
          <Fact name="User">{letter.user_id ?? <span className="text-faint">none</span>}</Fact>
          <Fact name="Event">
            <Link
              to="/events/$eventId"
              params={{ eventId: letter.event_id }}
              className="font-mono text-sm break-all underline underline-offset-2"
            >
              {letter.event_id}
            </Link>
          </Fact>
          <Fact name="Origin">
            <CopyText
              text={`${letter.origin.topic}, partition ${letter.origin.partition}, offset ${letter.origin.offset}`}
              what="the origin"
            />
          </Fact>
        </Facts>
      </div>
      <h3 className="mt-3 mb-2 font-semibold">Payload</h3>
      <Code tall text={formatJson(letter.event, 2)} label="the payload" />
    </>
  )
}

/** One dead letter beside the list. `known` spares the question when the list holds it already. */
export function LetterSheet({
  id,
  known,
  onClose,
}: {
  id: string
  known: DeadLetter | undefined
  onClose: () => void
}) {
  const asked = useQuery({ ...deadLetterQuery(id), enabled: known === undefined })
  const letter = known ?? asked.data
  return (
    <Sheet
      title={letter?.event_type ?? 'Dead letter'}
      onClose={onClose}
      footer={letter && <Redrive letter={letter} />}
    >
      {letter ? (
        <Letter letter={letter} />
      ) : asked.isError ? (
        <Failure
          facts={failureFacts(asked.error)}
          remedy={remedyOf(asked.error)}
          onRetry={() => void asked.refetch()}
        />
      ) : (
        <Loading rows={6} label="Loading the dead letter" />
      )}
    </Sheet>
  )
}
