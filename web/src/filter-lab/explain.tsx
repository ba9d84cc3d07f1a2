import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { type FormEvent, useState } from 'react'
import { failureFacts, remedyOf } from '../api/api.ts'
import { type Explanation, explanationQuery } from '../delivery/queries.ts'
import {
  Badge,
  Button,
  Failure,
  Icon,
  type IconName,
  Loading,
  Panel,
  TextField,
  type Tone,
} from '../design/design.ts'

const verdicts: Record<Explanation['verdict'], { tone: Tone; icon: IconName; word: string }> = {
  matches: { tone: 'ok', icon: 'check', word: 'It matches' },
  no_filter: { tone: 'warn', icon: 'alert', word: 'There is no filter' },
  filter_stored_later: { tone: 'warn', icon: 'clock', word: 'The filter came later' },
  filter_changed: { tone: 'warn', icon: 'clock', word: 'The filter was another one then' },
  does_not_match: { tone: 'bad', icon: 'cross', word: 'It does not match' },
}

type Outcome = Explanation['streams'][number]['outcome']

const outcomes: Record<Outcome, { tone: Tone; icon: IconName; word: string }> = {
  sent: { tone: 'ok', icon: 'check', word: 'sent' },
  not_yet: { tone: 'accent', icon: 'clock', word: 'not sent yet' },
  began_after: { tone: 'neutral', icon: 'clock', word: 'began behind it' },
  replaced: { tone: 'warn', icon: 'alert', word: 'too slow: replaced' },
  dropped: { tone: 'warn', icon: 'alert', word: 'too slow: dropped' },
  gap: { tone: 'bad', icon: 'alert', word: 'in a gap' },
  no_match: { tone: 'neutral', icon: 'cross', word: 'no filter lets it through' },
  no_permission: { tone: 'warn', icon: 'cross', word: 'hidden by its credential' },
  unknown: { tone: 'neutral', icon: 'alert', word: 'had another filter then' },
}

const applies: Record<Explanation['filters'][number]['applies'], string> = {
  yes: 'held when the event came',
  stored_later: 'was stored after the event',
  changed_before: 'was changed or deleted before the event',
}

function Failed({ tests }: { tests: readonly string[] }) {
  if (tests.length === 0) return null
  return (
    <ul className="mt-1 list-disc pl-5 font-mono text-sm">
      {tests.map((test) => (
        <li key={test}>{test}</li>
      ))}
    </ul>
  )
}

function Filters({ explanation }: { explanation: Explanation }) {
  const { filters, subscriber } = explanation
  if (filters.length === 0) return null
  return (
    <ul className="mt-3 divide-y divide-hairline border-t border-hairline">
      {filters.map((filter) => (
        <li key={`${filter.name} ${filter.version}`} className="py-2.5">
          <p className="flex flex-wrap items-center gap-x-3 gap-y-1">
            <Link
              to="/subscriptions"
              search={{ subscriber, open: `${subscriber}/${filter.name}` }}
              className="font-medium hover:underline"
            >
              {filter.name}
            </Link>
            <Badge tone={filter.matches ? 'ok' : 'neutral'} icon={filter.matches ? 'check' : 'cross'}>
              {filter.matches ? 'matches' : 'does not match'}
            </Badge>
            <span className="text-sm text-muted">
              version {filter.version}, {applies[filter.applies]}
            </span>
          </p>
          <Failed tests={filter.failed} />
        </li>
      ))}
    </ul>
  )
}

function Streams({ explanation }: { explanation: Explanation }) {
  const { streams, replayable, subscriber } = explanation
  return (
    <>
      <p className="mt-2 text-sm text-muted">
        {streams.length === 0 && `${subscriber} has no open stream on this server. `}
        {replayable
          ? 'The log still holds the event: whoever resumes from before it is offered it.'
          : 'Retention has taken it from the log: no replay can bring it any more.'}
      </p>
      {streams.length > 0 && (
        <ul aria-label={`Open streams of ${subscriber}`}>
          {streams.map(({ session, transport, state, outcome, failed }) => (
            <li key={session} className="mt-2">
              <p className="flex flex-wrap items-center gap-x-3 gap-y-1">
                <Badge tone={outcomes[outcome].tone} icon={outcomes[outcome].icon}>
                  {outcomes[outcome].word}
                </Badge>
                <span className="text-sm text-muted">
                  open stream: {transport}, {state}
                </span>
              </p>
              <Failed tests={failed} />
            </li>
          ))}
        </ul>
      )}
    </>
  )
}

function Answer({ explanation }: { explanation: Explanation }) {
  const { tone, icon, word } = verdicts[explanation.verdict]
  return (
    <div className="mt-4">
      <p className="flex flex-wrap items-center gap-3">
        <Badge tone={tone} icon={icon}>
          {word}
        </Badge>
        <Link
          to="/events/$eventId"
          params={{ eventId: explanation.event_id }}
          className="inline-flex items-center gap-1 text-sm underline underline-offset-2"
        >
          The event
          <Icon name="next" size={12} />
        </Link>
      </p>
      <p className="mt-2 text-lg">
        {/* Which tests failed stands below, filter by filter. */}
        {explanation.verdict === 'does_not_match'
          ? `None of the filters of ${explanation.subscriber} lets it through.`
          : explanation.answer}
      </p>
      <Streams explanation={explanation} />
      <Filters explanation={explanation} />
    </div>
  )
}

/** Why a subscriber got one event, or did not. */
export function Explain({
  event,
  subscriber,
  onAsk,
}: {
  event: string | undefined
  subscriber: string | undefined
  onAsk: (event: string, subscriber: string) => void
}) {
  const [typed, setTyped] = useState({ event: event ?? '', subscriber: subscriber ?? '' })
  const asked = event !== undefined && subscriber !== undefined
  const explanation = useQuery({ ...explanationQuery(event ?? '', subscriber ?? ''), enabled: asked })
  const send = (sent: FormEvent) => {
    sent.preventDefault()
    onAsk(typed.event.trim(), typed.subscriber.trim())
  }
  return (
    <Panel title="Why did somebody get an event, or not?">
      <form onSubmit={send} className="flex flex-wrap items-end gap-x-3 gap-y-2">
        <TextField
          label="Event id"
          required
          value={typed.event}
          placeholder="0198f2d2-…"
          onChange={(change) => setTyped({ ...typed, event: change.target.value })}
          className="flex-1 basis-72"
        />
        <TextField
          label="Subscriber"
          required
          value={typed.subscriber}
          placeholder="user_1"
          onChange={(change) => setTyped({ ...typed, subscriber: change.target.value })}
          className="flex-1 basis-40"
        />
        <Button type="submit" icon="search">
          Explain
        </Button>
      </form>
      {explanation.isError ? (
        <div className="-mx-4 -mb-4">
          <Failure
            facts={failureFacts(explanation.error)}
            remedy={remedyOf(explanation.error)}
            onRetry={() => void explanation.refetch()}
          />
        </div>
      ) : explanation.data ? (
        <Answer explanation={explanation.data} />
      ) : asked ? (
        <Loading rows={3} label="Asking" />
      ) : (
        <p className="mt-3 text-sm text-muted">
          Name an event and who should have got it. The answer says which filter held when it came, and which
          test it did not pass.
        </p>
      )}
    </Panel>
  )
}
