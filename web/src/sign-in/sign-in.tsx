import { useMutation, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, useRouter } from '@tanstack/react-router'
import { type FormEvent, useEffect, useRef, useState } from 'react'
import { callsWith, failureFacts, PulseError, pulse } from '../api/api.ts'
import { Button, Code, Failure, Loading, TextField } from '../design/design.ts'
import { Mark } from '../shell/shell.tsx'
import { type Pasted, readPasted, safeNext, tokenOfLink } from './credential.ts'

const route = getRouteApi('/sign-in')

/**
 * Signs this browser in. A key is not kept here: it buys one sign-in link, whose token buys the session's cookie,
 * which no script can read.
 */
async function signIn(pasted: Pasted): Promise<void> {
  if (pasted.kind === 'token') return await pulse.signIn(pasted.token)
  const link = await callsWith(pasted.key).signInLinks.create({ role: 'admin' })
  const token = tokenOfLink(link.url)
  if (token === undefined) throw new Error('The server made a sign-in link without a token.')
  await pulse.signIn(token)
}

function remedy(error: unknown, kind: Pasted['kind'] | undefined): string | undefined {
  if (!(error instanceof PulseError)) return undefined
  if (error.code === 'forbidden')
    return 'This key may not sign anybody in. Use the local key, which may do everything.'
  if (error.code !== 'unauthenticated') return undefined
  return kind === 'token'
    ? 'A link works once and for 30 minutes. Make another one with the command below.'
    : 'The key is not known here or was revoked. The local one stands in the file “key” of the data folder.'
}

/** Takes the token out of the address at once, so that it stays neither in sight nor in the history. */
function useTokenOfAddress(): string | undefined {
  const [token] = useState(() => tokenOfLink(`/ui/sign-in${window.location.hash}`))
  useEffect(() => {
    if (token !== undefined)
      window.history.replaceState(window.history.state, '', window.location.pathname + window.location.search)
  }, [token])
  return token
}

/** Signs in by the one-time link that led here; without one it tells how to get one, and takes a key. */
export function SignIn() {
  const token = useTokenOfAddress()
  const { next } = route.useSearch()
  const router = useRouter()
  const client = useQueryClient()
  const entering = useMutation({
    mutationFn: signIn,
    onSuccess: async () => {
      client.clear()
      router.history.push(`${router.basepath}${safeNext(next)}`)
    },
  })
  const begun = useRef(false)
  const { mutate } = entering
  useEffect(() => {
    document.title = 'Sign in · Pulse'
    if (token === undefined || begun.current) return
    begun.current = true
    mutate({ kind: 'token', token })
  }, [token, mutate])
  const submit = (sent: FormEvent<HTMLFormElement>) => {
    sent.preventDefault()
    const pasted = readPasted(String(new FormData(sent.currentTarget).get('credential') ?? ''))
    if (pasted) mutate(pasted)
  }
  const arriving = token !== undefined && (entering.isPending || entering.isSuccess || entering.isIdle)
  return (
    <main className="mx-auto flex min-h-dvh max-w-lg flex-col justify-center px-4 py-10">
      <Mark />
      <h1 className="mt-6 text-xl font-semibold tracking-tight">{arriving ? 'Signing in' : 'Sign in'}</h1>
      {arriving ? (
        <Loading rows={2} label="Signing in" />
      ) : (
        <>
          {entering.isError && (
            <div className="-mx-4 mt-2">
              <Failure
                facts={failureFacts(entering.error)}
                remedy={remedy(entering.error, entering.variables?.kind)}
              />
            </div>
          )}
          <p className="mt-2 mb-3 text-muted">
            There is no password. On the machine where Pulse runs, this makes a link that signs one browser
            in:
          </p>
          <Code text="npm run pulse -- open" label="the command" />
          <form onSubmit={submit} className="mt-6 border-t border-hairline pt-5">
            <TextField
              label="Or paste the link, or an API key"
              name="credential"
              type="password"
              autoComplete="current-password"
              required
              hint="The local key stands in the file “key” of the data folder, by default pulse-data/key. It is not stored in this browser."
            />
            <Button type="submit" look="primary" icon="key" busy={entering.isPending} className="mt-3">
              Sign in
            </Button>
          </form>
        </>
      )}
    </main>
  )
}
