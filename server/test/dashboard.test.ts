import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import type { Browser } from '@playwright/test'
import { eventually } from '@pulse/dev/services/eventually'
import {
  axeFindsNothing,
  bringsLittleScript,
  heading,
  looksWell,
  openBrowser,
  openWindow,
  skipBrowser,
  type Window,
} from './browser.ts'
import { type StartedServer, startServer } from './started-server.ts'

const run = promisify(execFile)

describe('the dashboard', { skip: skipBrowser }, () => {
  let server: StartedServer
  let browser: Browser
  let operator: Window
  let purchaseId = ''

  const post = async (path: string, body?: unknown) => {
    const answer = await fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${server.key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    assert.ok(answer.ok, `${path} answered ${answer.status}`)
    return (await answer.json()) as Record<string, unknown>
  }
  const signInLink = async () => String((await post('/admin/sign-in-links', { role: 'admin' })).url)

  before(async () => {
    server = await startServer()
    browser = await openBrowser()
    operator = await openWindow(browser)
  })
  after(async () => {
    await browser?.close()
    await server?.[Symbol.asyncDispose]()
  })

  test('a sign-in link leads to the empty state, whose curl brings the first event and its life', async () => {
    const { page } = operator
    const link = await signInLink()
    await page.goto(link)
    await heading(page, 'Overview').waitFor()
    assert.equal(page.url(), `${server.url}/ui/`, 'the token is neither in the address nor in the history')
    await page.getByText('Connected, waiting for the first event').waitFor()
    await axeFindsNothing(page, 'the empty overview')

    const curl = await page.getByRole('region', { name: 'the curl example' }).innerText()
    // The folder in which somebody started Pulse, as the example presumes.
    const folder = await mkdtemp(join(tmpdir(), 'pulse-shell-'))
    try {
      await symlink(server.data, join(folder, 'pulse-data'))
      const { stdout } = await run('sh', ['-c', curl], { cwd: folder })
      const answer = JSON.parse(stdout) as { status: string; event_id: string }
      assert.equal(answer.status, 'accepted')
      purchaseId = answer.event_id
    } finally {
      await rm(folder, { recursive: true, force: true })
    }

    const sentAt = performance.now()
    await page.getByText(/^First event received/).waitFor()
    assert.ok(performance.now() - sentAt < 5_000, 'the event shows up by itself, within seconds')
    await page.getByRole('link', { name: 'View its life' }).click()
    await heading(page, /purchase/).waitFor()
    await page.getByText('processed', { exact: true }).waitFor()
    assert.equal(page.url(), `${server.url}/ui/events/${purchaseId}`)
    await page.reload()
    await heading(page, /purchase/).waitFor()

    await using other = await openWindow(browser)
    await other.page.goto(link)
    await other.page.getByText('A link works once and for 30 minutes.', { exact: false }).waitFor()
  })

  test('whoever is not signed in is asked to, by a pasted key too, and then comes where they wanted to go', async () => {
    await using stranger = await openWindow(browser)
    const { page } = stranger
    await page.goto(`${server.url}/ui/events?user_id=ada`)
    await heading(page, 'Sign in').waitFor()
    await axeFindsNothing(page, 'the sign-in page')
    await page.getByLabel('Or paste the link, or an API key').fill(server.key)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await heading(page, 'Events').waitFor()
    assert.equal(page.url(), `${server.url}/ui/events?user_id=ada`)
    await page.getByRole('link', { name: 'purchase' }).waitFor()
    const stored = await page.evaluate<string>('JSON.stringify({ ...localStorage, ...sessionStorage })')
    assert.ok(!stored.includes(server.key), 'the key is not kept in the browser')
  })

  test('a query stands in the address, and a refused one says why and what to do', async () => {
    const { page } = operator
    await page.goto(`${server.url}/ui/events`)
    await page.getByLabel('User').fill('nobody')
    await page.keyboard.press('Enter')
    await page.getByText('No event matches').waitFor()
    assert.equal(page.url(), `${server.url}/ui/events?user_id=nobody`)
    await page.goto(`${server.url}/ui/events?properties.amount=42.5`)
    await page.getByText('Query too wide').waitFor()
    await page
      .getByText(/request \S+/)
      .first()
      .waitFor()
    await page.getByLabel('Type').fill('purchase')
    await page.getByLabel('Received').selectOption('1h')
    await page.getByRole('button', { name: 'Search', exact: true }).click()
    await page.getByRole('link', { name: 'purchase' }).waitFor()
    assert.equal(new URL(page.url()).searchParams.get('properties.amount'), '42.5')
    await page.reload()
    await page.getByRole('link', { name: 'purchase' }).waitFor()
  })

  test('a search keeps every property of the address, and clearing empties what was only typed', async () => {
    const { page } = operator
    await page.goto(
      `${server.url}/ui/events?event_type=purchase&last=1h&properties.amount=42.5&properties.of=ada`,
    )
    await page.getByText('No event matches').waitFor()
    await page.getByLabel('Is').last().fill('grace')
    await page.keyboard.press('Enter')
    await page.waitForURL(/properties\.of=grace/)
    assert.equal(new URL(page.url()).searchParams.get('properties.amount'), '42.5')
    await page.getByRole('button', { name: 'Clear', exact: true }).click()
    await page.waitForURL(`${server.url}/ui/events`)
    await page.getByLabel('User').fill('typed only')
    await page.getByLabel('Received').selectOption('fixed')
    await page.getByRole('button', { name: 'Clear', exact: true }).click()
    await page.getByLabel('From').waitFor({ state: 'detached' })
    assert.equal(await page.getByLabel('User').inputValue(), '')
  })

  test('a dead letter is counted by its cause, opened beside the list and redriven after a question', async () => {
    const { page } = operator
    await post('/events', { event_type: 'purchase', user_id: 'grace', properties: { amount: -1 } })
    await page.goto(`${server.url}/ui/dead-letters`)
    await page.getByRole('button', { name: /PermanentError.*1/s }).waitFor()
    await page.getByRole('link', { name: 'purchase' }).click()
    const sheet = page.getByRole('dialog', { name: 'purchase' })
    await sheet.getByText('Purchase amount must be positive').waitFor()
    await page.reload()
    await sheet.getByText('Purchase amount must be positive').waitFor()
    await sheet.getByRole('button', { name: 'Redrive', exact: true }).click()
    await sheet.getByRole('button', { name: 'Yes, redrive' }).click()
    await page.getByText('purchase is on its way to purchase again.').waitFor()
    await page.keyboard.press('Escape')
    await sheet.waitFor({ state: 'detached' })
    assert.equal(page.url(), `${server.url}/ui/dead-letters`)
  })

  test('the keyboard reaches every page, every row and every point of a chart', async () => {
    const { page } = operator
    await page.goto(`${server.url}/ui/`)
    const chart = page.getByRole('img', { name: /^Throughput, events per second\. Received: now/ })
    await chart.focus()
    await page.keyboard.press('ArrowLeft')
    await page.getByText(/^\d\d:\d\d:\d\d: Received .*, Processed /).waitFor()
    await page.keyboard.press('Escape')
    await chart.blur()
    await page.keyboard.press('Space')
    await page.getByRole('button', { name: 'Resume' }).waitFor()
    await page.keyboard.press('g')
    await page.keyboard.press('e')
    await heading(page, 'Events').waitFor()
    await page.getByRole('link', { name: 'purchase' }).first().waitFor()
    await page.keyboard.press('j')
    await page.keyboard.press('Enter')
    await heading(page, /purchase/).waitFor()
    await page.keyboard.press('Control+k')
    await page.getByRole('dialog', { name: 'Go to' }).waitFor()
    await page.keyboard.type(purchaseId)
    await page.getByRole('option', { name: new RegExp(purchaseId) }).waitFor()
    await axeFindsNothing(page, 'the palette')
    await page.keyboard.press('Enter')
    await page.waitForURL(`${server.url}/ui/events/${purchaseId}`)
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keyboard and preferences' }).waitFor()
    await axeFindsNothing(page, 'the help')
    await page.getByRole('switch', { name: 'Single-key shortcuts' }).uncheck()
    await page.keyboard.press('Escape')
    await page.keyboard.press('g')
    await page.keyboard.press('o')
    assert.match(page.url(), /\/events\//, 'keys that are switched off do nothing')
  })

  test('a chart is drawn in the colours of the page, and the pointer on one tells the values of its instant on all', async () => {
    const { page } = operator
    await page.goto(`${server.url}/ui/`)
    const chart = page.getByRole('img', { name: /^Memory/ })
    await chart.locator('canvas').waitFor()
    // Pixels of the line's own colour, as the browser makes it out of its token.
    const painted = `(() => {
      const drawn = document.querySelector('[aria-label^="Memory"] canvas')
      const probe = document.body.appendChild(document.createElement('canvas')).getContext('2d')
      probe.canvas.style.color = 'var(--series-1)'
      probe.fillStyle = getComputedStyle(probe.canvas).color
      probe.canvas.remove()
      probe.fillRect(0, 0, 1, 1)
      const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data
      const { data } = drawn.getContext('2d').getImageData(0, 0, drawn.width, drawn.height)
      return data.filter((r, at) => at % 4 === 0 && r === red && data[at + 1] === green && data[at + 2] === blue).length
    })()`
    const look = async () => ((await page.evaluate<number>(painted)) > 20 ? true : undefined)
    await eventually('a line is drawn', look, 10_000)
    await chart.hover()
    const clocks = page.getByText(/^\d\d:\d\d:\d\d$/)
    await clocks.nth(4).waitFor()
    assert.equal(new Set(await clocks.allInnerTexts()).size, 1)
    await page.mouse.move(0, 0)
    await clocks.first().waitFor({ state: 'detached' })
  })

  test('a lost connection is told and found again, and an ended session leads to sign-in and back', async () => {
    await using window = await openWindow(browser, { signedInAs: operator.page.context() })
    const { page } = window
    await page.goto(`${server.url}/ui/events`)
    await page.getByText('Live', { exact: true }).first().waitFor()
    await page.getByRole('link', { name: 'purchase' }).first().waitFor()
    await page.context().setOffline(true)
    await page
      .getByText(/^Reconnecting in \d s/)
      .first()
      .waitFor()
    await page.getByRole('link', { name: 'purchase' }).first().waitFor()
    // A page whose script has not come yet.
    await page.getByRole('link', { name: 'Dead letters' }).first().click()
    await page.getByText('No answer from the server', { exact: true }).waitFor()
    await page.context().setOffline(false)
    await heading(page, 'Dead letters').waitFor()
    await page.getByText('Live', { exact: true }).first().waitFor()
    await page.context().clearCookies()
    await heading(page, 'Sign in').waitFor()
    assert.equal(new URL(page.url()).searchParams.get('next'), '/dead-letters')
    await page.getByLabel('Or paste the link, or an API key').fill(await signInLink())
    await page.keyboard.press('Enter')
    await heading(page, 'Dead letters').waitFor()
    await page.getByRole('button', { name: 'Account and theme' }).click()
    await page.getByRole('menuitemradio', { name: 'Dark' }).click()
    await axeFindsNothing(page, 'the open menu')
    await page.getByRole('menuitem', { name: 'Sign out' }).click()
    await heading(page, 'Sign in').waitFor()
    await page.goto(`${server.url}/ui/`)
    await heading(page, 'Sign in').waitFor()
    assert.equal(await page.evaluate<string>('document.documentElement.dataset.theme'), 'dark')
  })

  test('axe finds nothing on any page, in both themes, and nothing scrolls sideways at 320 px', async () => {
    const letter = (await (
      await fetch(`${server.url}/dead-letters`, { headers: { authorization: `Bearer ${server.key}` } })
    ).json()) as { data: { id: string; event_id: string }[] }
    const { id = '', event_id = '' } = letter.data[0] ?? {}
    const pages: readonly (readonly [string, string | RegExp])[] = [
      ['', 'Newest events'],
      ['events', 'Took'],
      ['events?properties.amount=1', 'Query too wide'],
      [`events/${purchaseId}`, 'Its life'],
      [`events/${event_id}`, /in handler/],
      [`events/${randomUUID()}`, 'No such event'],
      ['dead-letters', 'By cause'],
      [`dead-letters?open=${id}`, 'Payload'],
      ['nowhere', 'There is nothing at this address'],
      ['design', 'Design system'],
    ]
    const looks = [
      { theme: 'light', width: 1280 },
      { theme: 'dark', width: 1280 },
      { theme: 'light', width: 320 },
    ] as const
    await looksWell(browser, { pages, looks, url: server.url, signedInAs: operator.page.context() })
  })

  test('the script of each page comes compressed, with air below 150 kB', async () => {
    const signs = {
      events: 'Took',
      'dead-letters': 'By cause',
      [`events/${purchaseId}`]: 'Its life',
    }
    for (const [path, sign] of Object.entries(signs)) {
      await using window = await openWindow(browser, { signedInAs: operator.page.context() })
      await bringsLittleScript(window.page, path, async () => {
        await window.page.goto(`${server.url}/ui/${path}`)
        await window.page.getByText(sign).first().waitFor()
      })
    }
    // The overview is there when its figures are: the script of its charts, which does not count, may come later.
    await using window = await openWindow(browser, { signedInAs: operator.page.context() })
    const { page } = window
    const charts = Promise.withResolvers<void>()
    await page.route(/\/charts?-[\w-]+\.js$/, async (route) => {
      await charts.promise
      await route.continue()
    })
    await bringsLittleScript(page, 'the overview', async () => {
      await page.goto(`${server.url}/ui/`)
      await page.getByText('Loading the charts').waitFor({ state: 'attached' })
      await page.getByRole('link', { name: 'purchase' }).first().waitFor()
    })
    charts.resolve()
    await page.getByRole('img', { name: /^Memory/ }).waitFor()
    for (const encoding of ['br', 'gzip', 'identity']) {
      const answer = await fetch(`${server.url}/ui/`)
      const script = /assets\/index-[\w-]+\.js/.exec(await answer.text())?.[0] ?? ''
      const { headers } = await fetch(`${server.url}/ui/${script}`, {
        headers: { 'accept-encoding': encoding },
      })
      assert.equal(headers.get('content-encoding') ?? 'identity', encoding)
      assert.match(headers.get('content-type') ?? '', /javascript/)
      assert.match(headers.get('vary') ?? '', /accept-encoding/i)
    }
  })

  test('no page broke the rules of its content policy or threw', () => {
    assert.deepEqual(operator.complaints, [])
  })
})
