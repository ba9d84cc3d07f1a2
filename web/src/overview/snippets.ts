/** The ways to send a first event, each as text that works when pasted. */
export interface Snippet {
  readonly name: 'curl' | 'TypeScript' | 'CLI'
  readonly text: string
}

/**
 * Writes the snippets for the server at `origin`. Without a `key` they read the local one out of the data
 * folder, so that no secret stands on the page or in the shell's history.
 */
export function firstEventSnippets(origin: string, key: string | undefined): readonly Snippet[] {
  const bearer = key ?? '$(cat pulse-data/key)'
  const event = `{"event_type": "purchase", "user_id": "ada", "properties": {"amount": 42.5, "currency": "EUR"}}`
  return [
    {
      name: 'curl',
      text: [
        `curl ${origin}/events \\`,
        `  -H "Authorization: Bearer ${bearer}" \\`,
        `  -H "Content-Type: application/json" \\`,
        `  -d '${event}'`,
      ].join('\n'),
    },
    {
      name: 'TypeScript',
      text: [
        ...(key === undefined ? [`import { readFileSync } from 'node:fs'`] : []),
        `import { createClient } from '@pulse/client'`,
        ``,
        `const pulse = createClient({`,
        `  url: '${origin}',`,
        `  credential: ${key === undefined ? `readFileSync('pulse-data/key', 'utf8').trim()` : `'${key}'`},`,
        `})`,
        `await pulse.events.publish({`,
        `  event_type: 'purchase',`,
        `  user_id: 'ada',`,
        `  properties: { amount: 42.5, currency: 'EUR' },`,
        `})`,
      ].join('\n'),
    },
    { name: 'CLI', text: `npm run pulse -- events send purchase amount=42.5 currency=EUR --user ada` },
  ]
}
