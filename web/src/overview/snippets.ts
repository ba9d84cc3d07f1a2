/** The ways to send a first event, each as text that works when pasted. */
export interface Snippet {
  readonly name: 'curl' | 'TypeScript' | 'CLI'
  readonly text: string
}

/** What the snippets show as the credential. */
export type Credential =
  /** Read out of the data folder by the shell: no secret on the page or in the shell's history. */
  | { readonly kind: 'file' }
  | { readonly kind: 'key'; readonly key: string }
  /** The server was started with `--open` and asks for none. */
  | { readonly kind: 'none' }

const bearer = (credential: Credential): readonly string[] => {
  if (credential.kind === 'none') return []
  const key = credential.kind === 'key' ? credential.key : '$(cat pulse-data/key)'
  return [`  -H "Authorization: Bearer ${key}" \\`]
}

const clientOptions = (origin: string, credential: Credential): string => {
  if (credential.kind === 'none') return `{ url: '${origin}' }`
  const key =
    credential.kind === 'key' ? `'${credential.key}'` : `readFileSync('pulse-data/key', 'utf8').trim()`
  return `{\n  url: '${origin}',\n  credential: ${key},\n}`
}

/** Writes the snippets for the server at `origin`. */
export function firstEventSnippets(origin: string, credential: Credential): readonly Snippet[] {
  const event = `{"event_type":"purchase","user_id":"ada","properties":{"amount":42.5}}`
  return [
    {
      name: 'curl',
      text: [
        `curl ${origin}/events \\`,
        ...bearer(credential),
        `  -H "Content-Type: application/json" \\`,
        `  -d '${event}'`,
      ].join('\n'),
    },
    {
      name: 'TypeScript',
      text: [
        ...(credential.kind === 'file' ? [`import { readFileSync } from 'node:fs'`] : []),
        `import { createClient } from '@pulse/client'`,
        ``,
        `const pulse = createClient(${clientOptions(origin, credential)})`,
        `await pulse.events.publish({`,
        `  event_type: 'purchase',`,
        `  user_id: 'ada',`,
        `  properties: { amount: 42.5 },`,
        `})`,
      ].join('\n'),
    },
    { name: 'CLI', text: `npm run pulse -- events send purchase amount=42.5 --user ada` },
  ]
}
