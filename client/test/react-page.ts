// A page of somebody who uses the hooks: what `react.test.ts` opens in a browser. The server's address and the
// credential stand behind the page's `#`.
import { createElement as element, memo, StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { createClient } from '../src/client.ts'
import { useConnection, useSubscription } from '../src/react.ts'

const { location, document } = globalThis as unknown as {
  location: { hash: string }
  document: { getElementById(id: string): Parameters<typeof createRoot>[0] }
}
const { url, credential } = JSON.parse(decodeURIComponent(location.hash.slice(1))) as {
  url: string
  credential: string
}
const pulse = createClient({ url, credential })

let connectionDrawn = 0

const Connection = memo(({ source }: { readonly source: Parameters<typeof useConnection>[0] }) => {
  const { kind, holds } = useConnection(source)
  connectionDrawn++
  return element('p', { id: 'connection', 'data-drawn': connectionDrawn }, [kind, ...holds].join(' '))
})

function Stream({ type }: { readonly type: string }) {
  const filter = { expression: `event_type = "${type}"` }
  const live = useSubscription(pulse, { subscriber: 'user_1', filter, keep: 500, from: 'start' })
  const numbers = live.items.map((item) => (item.kind === 'event' ? item.event.properties.n : item.reason))
  return element(
    'section',
    null,
    element(Connection, { source: live.source }),
    element('output', { id: 'received' }, live.received),
    element('output', { id: 'numbers' }, numbers.join(' ')),
    element('output', { id: 'error' }, live.error?.message ?? ''),
    element('button', { id: 'clear', type: 'button', onClick: live.clear }, 'Clear'),
  )
}

function Page() {
  const [type, setType] = useState('sdk.a')
  const [isShown, setIsShown] = useState(true)
  return element(
    'main',
    null,
    element('button', { id: 'other', type: 'button', onClick: () => setType('sdk.b') }, 'Other'),
    element('button', { id: 'toggle', type: 'button', onClick: () => setIsShown(!isShown) }, 'Toggle'),
    isShown ? element(Stream, { type }) : null,
  )
}

createRoot(document.getElementById('root')).render(element(StrictMode, null, element(Page)))
