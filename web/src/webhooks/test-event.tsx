import { useMutation } from '@tanstack/react-query'
import { failureFacts, remedyOf } from '../api/api.ts'
import { classNames, Failure, formatMs, Icon } from '../design/design.ts'
import { webhooks } from './queries.ts'

// A receiver has its own time, which the server waits for: as long as its longest setting.
const waitMsMax = 130_000

/** Sends a test event; the outcome stays until the next one. */
export const useTestEvent = () =>
  useMutation({ mutationFn: (id: string) => webhooks.test(id, { timeoutMsMax: waitMsMax }) })

/** What the last test event came to. It is read out when it comes. */
export function TestOutcome({
  sent: { data, isPending, error },
}: {
  sent: Pick<ReturnType<typeof useTestEvent>, 'data' | 'isPending' | 'error'>
}) {
  return (
    <div role="status">
      {isPending ? (
        <p className="rounded-md bg-hover px-3 py-2">A test event is on its way …</p>
      ) : error ? (
        <div className="-mx-4">
          <Failure facts={failureFacts(error)} remedy={remedyOf(error)} />
        </div>
      ) : (
        data && (
          <p className={classNames('rounded-md px-3 py-2', data.delivered ? 'bg-ok-soft' : 'bg-bad-soft')}>
            <span
              className={classNames(
                'flex items-center gap-1.5 text-sm font-medium',
                data.delivered ? 'text-ok' : 'text-bad',
              )}
            >
              <Icon name={data.delivered ? 'check' : 'alert'} size={14} />
              {data.delivered ? 'The test event was taken' : 'The test event was not taken'}
            </span>
            <span className="block">
              {data.delivered ? `It answered ${data.status}` : capital(data.error ?? '')}, after{' '}
              {formatMs(data.duration_ms)}.
            </span>
          </p>
        )
      )}
    </div>
  )
}

const capital = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`
