import { useMutation, useQuery } from '@tanstack/react-query'
import { failureFacts, pulse, remedyOf, sessionQuery } from '../api/api.ts'
import { Button, Code, Failure, Icon, Panel, Tabs } from '../design/design.ts'
import { type Credential, firstEventSnippets } from './snippets.ts'

function Waiting() {
  return (
    <p
      role="status"
      className="inline-flex items-center gap-2 rounded-full bg-ok-soft px-3 py-1 text-sm font-medium text-ok"
    >
      <Icon name="clock" size={14} className="breathing" />
      Connected, waiting for the first event
    </p>
  )
}

/** A key that may only publish, made on request and put into the snippets. */
function useQuickStartKey() {
  return useMutation({
    mutationFn: () => pulse.keys.create({ name: 'quick start', scopes: ['events:write'] }),
  })
}

function credentialOf(kind: string | undefined, key: string | undefined): Credential {
  if (key !== undefined) return { kind: 'key', key }
  return { kind: kind === 'open' ? 'none' : 'file' }
}

/** What stands on the overview until the first event: how to send one, in the words that work here. */
export function FirstEvent() {
  const session = useQuery(sessionQuery).data
  const key = useQuickStartKey()
  const snippets = firstEventSnippets(window.location.origin, credentialOf(session?.kind, key.data?.key))
  return (
    <Panel className="px-1 py-2 md:px-3 md:py-4">
      <div className="mx-auto max-w-3xl">
        <Waiting />
        <h2 className="mt-4 text-xl font-semibold tracking-tight">Send the first event</h2>
        <p className="mt-1 mb-4 max-w-prose text-muted">
          Paste this into a terminal on the machine where Pulse runs, in the folder where it was started. The
          event shows up here by itself, with its receipt and everything that happens to it.
        </p>
        <Tabs
          label="Ways to send an event"
          tabs={snippets.map(({ name, text }) => ({
            name,
            content: <Code wrap text={text} label={`the ${name} example`} />,
          }))}
        />
        {session?.kind !== 'open' && session?.scopes.includes('admin') && (
          <div className="mt-3 flex flex-wrap items-center gap-x-3 gap-y-2 text-sm text-muted">
            {key.data ? (
              <p>
                The key “{key.data.name}” is filled in. It may only publish, and it is shown this once: copy
                it now.
              </p>
            ) : (
              <>
                <Button icon="key" busy={key.isPending} onClick={() => key.mutate()}>
                  Fill in a key
                </Button>
                <p className="min-w-0 flex-1 basis-52">
                  For another machine: makes a key that may only publish.
                </p>
              </>
            )}
          </div>
        )}
        {key.isError && <Failure facts={failureFacts(key.error)} remedy={remedyOf(key.error)} />}
      </div>
    </Panel>
  )
}
