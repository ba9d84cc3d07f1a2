import {
  cleared,
  emptyFeed,
  emptyInWords,
  type Feed,
  figureInWords,
  type Measurement,
  paused,
  withEvent,
} from './feed.ts'

/** After this time a connection that the browser has given up is tried again; a broken one it finds by itself. */
const reconnectMs = 5_000

const byId = (id: string): HTMLElement => {
  const found = document.getElementById(id)
  if (!found) throw new Error(`the page has no #${id}`)
  return found
}

const looks = {
  connecting: { word: 'Connecting…', dot: 'bg-warn' },
  connected: { word: 'Connected', dot: 'bg-ok' },
  disconnected: { word: 'Disconnected', dot: 'bg-bad' },
} as const

const topicColours: Readonly<Record<string, string>> = {
  'Global Metrics': 'var(--series-1)',
  'User Activity': 'var(--series-2)',
  'Security Audit': 'var(--series-3)',
  'System Health': 'var(--ok)',
}

const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' })

let feed: Feed = emptyFeed
let state: keyof typeof looks = 'connecting'

function showStatus(next: keyof typeof looks): void {
  state = next
  const status = byId('status')
  // Told once: a word that does not change must not be read out again.
  if (status.textContent !== looks[state].word) status.textContent = looks[state].word
  byId('dot').className = `size-3 shrink-0 rounded-full ${looks[state].dot}`
  showEmpty()
}

function showEmpty(): void {
  byId('empty').hidden = feed.shown.length > 0
  byId('empty').textContent = emptyInWords(feed, state !== 'disconnected')
}

/** One item of the feed. Everything is set as text: nothing that is sent becomes part of the page's code. */
function itemOf(event: Measurement): HTMLElement {
  const template = byId('event') as HTMLTemplateElement
  const item = (template.content.cloneNode(true) as DocumentFragment).querySelector('li')
  if (!item) throw new Error('the template has no item')
  const part = (name: string) => item.querySelector<HTMLElement>(`[data-part="${name}"]`) ?? item
  item.classList.add('arriving')
  const colour = topicColours[event.topic] ?? 'var(--series-5)'
  part('dot').style.color = colour
  part('topic').textContent = event.topic
  part('time').textContent = clock.format(new Date(event.at))
  part('time').setAttribute('datetime', event.at)
  part('figures').append(
    ...event.figures.map((figure) => {
      const entry = document.createElement('li')
      entry.textContent = figureInWords(figure)
      return entry
    }),
  )
  part('value').textContent = event.value === null ? 'unknown' : `${event.value} %`
  part('value-of').textContent = event.value_of
  const meter = part('meter')
  meter.style.color = colour
  const bar = meter.querySelector('span')
  if (bar) bar.style.width = `${event.value ?? 0}%`
  return item
}

/** Shows what has changed, which is one event at a time; an item that stays is not made anew. */
function show(next: Feed): void {
  const list = byId('feed')
  const [newest] = next.shown
  if (newest && newest !== feed.shown[0]) list.prepend(itemOf(newest))
  while (list.childElementCount > next.shown.length) list.lastElementChild?.remove()
  byId('captured').textContent = next.captured.toLocaleString('en')
  const pause = byId('pause')
  pause.textContent = next.isPaused ? 'Resume' : 'Pause'
  pause.setAttribute('aria-pressed', String(next.isPaused))
  feed = next
  showEmpty()
}

function connect(): void {
  const source = new EventSource('/stream')
  source.addEventListener('open', () => showStatus('connected'))
  source.addEventListener('message', ({ data, lastEventId }) => {
    showStatus('connected')
    const event = JSON.parse(data) as Measurement
    byId('last-sync').textContent = clock.format(new Date(event.at))
    show(withEvent(feed, lastEventId, event))
  })
  source.addEventListener('error', () => {
    showStatus('disconnected')
    if (source.readyState !== EventSource.CLOSED) return
    source.close()
    setTimeout(connect, reconnectMs)
  })
}

showStatus('connecting')
byId('clear').addEventListener('click', () => show(cleared(feed)))
byId('pause').addEventListener('click', () => show(paused(feed)))
connect()
