import { type Answer, sentenceOf, waitInWords } from './answer.ts'
import { figuresOf, readFilterStats } from './filter-figures.ts'
import { NameCheck, suggestionsFor } from './name-check.ts'

/** How often a signed-in operator sees the filter's figures anew. */
const statsMs = 10_000

const byId = (id: string): HTMLElement => {
  const found = document.getElementById(id)
  if (!found) throw new Error(`the page has no #${id}`)
  return found
}
const field = byId('username') as HTMLInputElement

const marks: Readonly<Record<Answer['kind'], { colour: string; path?: string }>> = {
  idle: { colour: '' },
  checking: { colour: 'text-muted', path: 'M12 3a9 9 0 1 0 9 9' },
  available: { colour: 'text-ok', path: 'm4.5 12.5 5 5 10-11' },
  taken: { colour: 'text-bad', path: 'm6 6 12 12M18 6 6 18' },
  invalid: { colour: 'text-warn', path: 'M12 6v7m0 4.5v.1M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0Z' },
  limited: { colour: 'text-warn', path: 'M12 7v5l3 3m6-3a9 9 0 1 1-18 0 9 9 0 0 1 18 0Z' },
  error: { colour: 'text-warn', path: 'M12 9v5m0 3v.1M12 3.5 2.5 20h19L12 3.5Z' },
}

function drawMark({ kind }: Answer): void {
  const { colour, path } = marks[kind]
  const place = byId('mark')
  place.replaceChildren()
  place.className = `pointer-events-none absolute inset-y-0 right-4 grid place-items-center ${colour}`
  if (!path) return
  const space = 'http://www.w3.org/2000/svg'
  const svg = document.createElementNS(space, 'svg')
  const line = document.createElementNS(space, 'path')
  for (const [name, value] of Object.entries({
    ...{ viewBox: '0 0 24 24', width: '22', height: '22', fill: 'none', 'aria-hidden': 'true' },
    ...{ stroke: 'currentColor', 'stroke-width': '2.25', 'stroke-linecap': 'round' },
    ...{ 'stroke-linejoin': 'round', class: kind === 'checking' ? 'turning' : '' },
  }))
    svg.setAttribute(name, value)
  line.setAttribute('d', path)
  svg.append(line)
  place.append(svg)
}

const counts = { asked: 0, 'by-filter': 0, 'by-database': 0 }

function count(answer: Answer, ms: number): void {
  counts.asked++
  if ('foundBy' in answer) counts[answer.foundBy === 'filter' ? 'by-filter' : 'by-database']++
  for (const [id, value] of Object.entries(counts)) byId(id).textContent = value.toLocaleString('en')
  byId('last-answer').textContent = `${ms.toLocaleString('en', { maximumSignificantDigits: 2 })} ms`
}

function showSuggestions(names: readonly string[]): void {
  byId('suggestion-list').replaceChildren(
    ...names.map((name) => {
      const item = document.createElement('li')
      const button = document.createElement('button')
      button.type = 'button'
      button.className = 'quiet-button'
      button.textContent = name
      button.addEventListener('click', () => {
        field.value = name
        field.focus()
        check.typed(name, { atOnce: true })
      })
      item.append(button)
      return item
    }),
  )
  byId('suggestions').hidden = names.length === 0
}

let countdown: ReturnType<typeof setInterval> | undefined

/** Counts the seconds until the name is checked again, beside what is read out and not in it. */
function showWait(againMs: number | undefined): void {
  clearInterval(countdown)
  byId('wait').hidden = againMs === undefined
  if (againMs === undefined) return
  const endMs = performance.now() + againMs
  const tell = () => {
    byId('wait').textContent = waitInWords(endMs - performance.now())
  }
  tell()
  countdown = setInterval(tell, 1_000)
}

let shown: Answer = { kind: 'idle' }

const show: ConstructorParameters<typeof NameCheck>[0]['told'] = async (answer, { tookMs, againMs }) => {
  shown = answer
  if (tookMs !== undefined) count(answer, tookMs)
  showWait(againMs)
  drawMark(answer)
  const status = byId('status')
  status.textContent = sentenceOf(answer)
  status.className = `mt-3 min-h-6 text-lg ${marks[answer.kind].colour}`
  field.setAttribute('aria-invalid', String(answer.kind === 'invalid'))
  showSuggestions([])
  if (answer.kind !== 'taken') return
  const names = await suggestionsFor(answer.username)
  if (shown === answer) showSuggestions(names)
}

const check = new NameCheck({ told: show })
field.addEventListener('input', () => {
  // What stood there was said of another name.
  if (shown.kind !== 'idle' && shown.kind !== 'checking') show({ kind: 'idle' }, {})
  check.typed(field.value)
})
byId('form').addEventListener('submit', (event) => {
  event.preventDefault()
  check.typed(field.value, { atOnce: true })
})
// A browser that goes back to this page may have kept what was typed.
check.typed(field.value, { atOnce: true })

/** Shows the filter's figures to whoever may see them, again and again while the page is looked at. */
async function showFilter(): Promise<void> {
  const stats = await readFilterStats()
  byId('filter').hidden = stats === undefined
  // A stranger is not asked again: signing in loads the page anew.
  if (!stats) return
  byId('filter-figures').replaceChildren(
    ...figuresOf(stats).map(([word, value]) => {
      const pane = document.createElement('div')
      pane.className = 'pane px-3 py-2.5'
      const term = document.createElement('dt')
      term.className = 'text-xs text-muted'
      term.textContent = word
      const description = document.createElement('dd')
      description.className = 'text-lg font-semibold'
      description.textContent = value
      pane.append(term, description)
      return pane
    }),
  )
  setTimeout(() => void whenVisible(showFilter), statsMs)
}

function whenVisible(act: () => Promise<void>): void {
  if (!document.hidden) void act()
  else document.addEventListener('visibilitychange', () => whenVisible(act), { once: true })
}

void showFilter()
