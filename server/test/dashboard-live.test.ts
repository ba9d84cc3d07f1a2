import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser, Page } from '@playwright/test'
import { eventually } from '@pulse/dev/services/eventually'
import { type PulseProcess, startPulse } from '@pulse/dev/services/pulse'
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
import { aPurchase, callerOf, type Journey } from './journey.ts'
import { EventStreamReader } from './stream-client.ts'

const rowsOf = (page: Page) => page.getByRole('list', { name: 'Live events' }).getByRole('listitem')
const connected = (page: Page) => page.getByText('Connected', { exact: true }).waitFor()

describe('the live pages of the dashboard', { skip: skipBrowser }, () => {
  let data: string
  let server: PulseProcess
  let browser: Browser
  let operator: Window
  const call: Journey['call'] = (...asked) => callerOf(server)(...asked)

  const send = async (...events: readonly object[]): Promise<void> => {
    const { status, body } = await call('POST', '/events', events)
    assert.equal(status, 200, JSON.stringify(body))
  }
  const signIn = async (role: string): Promise<Window> => {
    const window = await openWindow(browser)
    const { body } = await call('POST', '/admin/sign-in-links', { role })
    await window.page.goto(String((body as unknown as { url: string }).url))
    await heading(window.page, 'Overview').waitFor()
    return window
  }

  before(async () => {
    data = await mkdtemp(join(tmpdir(), 'pulse-live-'))
    server = await startPulse(data)
    browser = await openBrowser()
    operator = await signIn('admin')
  })
  after(async () => {
    await browser?.close()
    await server?.stop()
    await rm(data, { recursive: true, force: true, maxRetries: 5 })
  })

  test('an empty Live sends a test event, which shows up by itself and leads to its life', async () => {
    const { page } = operator
    await page.getByRole('link', { name: 'Live' }).first().click()
    await heading(page, 'Live').waitFor()
    await page.getByText('Connected, waiting for events').waitFor()
    await axeFindsNothing(page, 'the empty Live')
    await page.getByRole('button', { name: 'Send a test event' }).click()
    await rowsOf(page).getByRole('link', { name: 'page_view' }).waitFor()
    await send(aPurchase({ user_id: 'ada' }))
    await rowsOf(page).first().getByText('ada').waitFor()
    await rowsOf(page).getByRole('link', { name: 'purchase' }).click()
    await heading(page, /purchase/).waitFor()
    await page.getByRole('link', { name: 'Why did somebody get it, or not?' }).click()
    await page.getByLabel('Subscriber').waitFor()
  })

  test('a filter stands in the address; what cannot be read is marked at its place, with the cursor there', async () => {
    const { page } = operator
    await page.goto(`${server.url}/ui/live`)
    await connected(page)
    const field = page.getByLabel('Filter')
    const focused = await page.evaluate(`(() => {
      document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '/', bubbles: true, cancelable: true }))
      return document.activeElement.hasAttribute('data-search')
    })()`)
    assert.equal(focused, true, 'what is typed right after / goes into the field')
    await page.keyboard.type('user_id = "ada" and event_type = purchase')
    await page.keyboard.press('Enter')
    await page.getByText(/^Expected a value/).waitFor()
    assert.equal(await page.locator('mark').innerText(), 'purchase')
    const chosen = await field.evaluate((element) => {
      const { value, selectionStart, selectionEnd } = element as unknown as {
        value: string
        selectionStart: number
        selectionEnd: number
      }
      return value.slice(selectionStart, selectionEnd)
    })
    assert.equal(chosen, 'purchase')
    await axeFindsNothing(page, 'a refused filter')
    await field.fill('user_id = "ada" and event_type = "purchase"')
    await field.press('Enter')
    await connected(page)
    assert.equal(
      new URL(page.url()).searchParams.get('filter'),
      'user_id = "ada" and event_type = "purchase"',
    )
    await page.reload()
    await page.getByText('Connected, and nothing matches yet').waitFor()
    await axeFindsNothing(page, 'Live with nothing that matches')
    await send(aPurchase({ user_id: 'bob' }), aPurchase({ user_id: 'ada' }), {
      event_type: 'page_view',
      user_id: 'ada',
    })
    await rowsOf(page).first().waitFor()
    await send(aPurchase({ user_id: 'ada', properties: { amount: 1, last: true } }))
    await rowsOf(page).first().getByText('last').waitFor()
    assert.equal(await rowsOf(page).count(), 2)
  })

  test('while it is paused, or somebody is about to press a row, nothing moves and what waits is counted', async () => {
    const { page } = operator
    await page.goto(`${server.url}/ui/live`)
    await connected(page)
    await send(aPurchase({ user_id: 'first' }))
    await rowsOf(page).getByText('first').waitFor()
    await page.keyboard.press('Space')
    await send(...Array.from({ length: 3 }, () => aPurchase({ user_id: 'later' })))
    await page.getByText('3 new events').waitFor()
    assert.equal(await rowsOf(page).count(), 1)
    await axeFindsNothing(page, 'a paused Live')
    await page.keyboard.press('Space')
    await rowsOf(page).getByText('later').first().waitFor()
    assert.equal(await rowsOf(page).count(), 4)

    await page.keyboard.press('j')
    await send(aPurchase({ user_id: 'latest' }))
    await page.getByText('Held while a row has the focus').waitFor()
    assert.equal(await rowsOf(page).count(), 4)
    await page.getByRole('button', { name: 'Show', exact: true }).click()
    await rowsOf(page).first().getByText('latest').waitFor()

    await rowsOf(page).last().hover()
    await send(aPurchase({ user_id: 'newest' }))
    await page.getByText('Held while the pointer is on the list').waitFor()
    await page.mouse.move(5, 5)
    await rowsOf(page).first().getByText('newest').waitFor()
  })

  test('through a crash of the server it says what it waits for, comes back by itself and brings what came meanwhile, once', async () => {
    const { page } = operator
    await page.goto(`${server.url}/ui/live?filter=${encodeURIComponent('user_id = "crash"')}`)
    await connected(page)
    await send(aPurchase({ user_id: 'crash', properties: { amount: 1 } }))
    await rowsOf(page).getByText('"amount":1').waitFor()
    const { port } = new URL(server.url)
    await server.kill()
    await page
      .getByText(/^Connecting again in \d+ s/)
      .first()
      .waitFor()
    server = await startPulse(data, { PORT: port })
    // Most likely before the page is back: it must come all the same.
    await send(aPurchase({ user_id: 'crash', properties: { amount: 2 } }))
    await page.getByText(/^Connected again after \d+ s/).waitFor()
    await rowsOf(page).getByText('"amount":2').waitFor()
    await send(aPurchase({ user_id: 'crash', properties: { amount: 3 } }))
    await rowsOf(page).getByText('"amount":3').waitFor()
    const shown = await rowsOf(page).getByText('"amount"').allInnerTexts()
    assert.deepEqual(
      shown.map((text) => /"amount":(\d)/.exec(text)?.[1]),
      ['3', '2', '1'],
    )
  })

  test('what nobody can read is sampled, counted whole, and never more than 200 rows', async () => {
    const { page } = operator
    await page.goto(`${server.url}/ui/live?filter=${encodeURIComponent('event_type = "burst"')}`)
    await connected(page)
    const batches = 12
    for (let batch = 0; batch < batches; batch++) {
      await send(...Array.from({ length: 250 }, () => ({ event_type: 'burst', event_id: randomUUID() })))
      if (batch === 8) await page.getByText(/about 1 in \d+ is shown/).waitFor()
    }
    await page.getByText(`${(batches * 250).toLocaleString('en')} since the page opened`).waitFor()
    const rows = await rowsOf(page).count()
    assert.ok(rows > 100 && rows <= 200, `${rows} rows`)
  })

  test('a filter is stored, seen with who listens, changed, and deleted, each after a question', async () => {
    const { page } = operator
    await page.goto(`${server.url}/ui/subscriptions`)
    await page.getByText('Nobody listens now').waitFor()
    await page.getByText('No filters yet').waitFor()
    await axeFindsNothing(page, 'empty Subscriptions')
    await page.getByRole('link', { name: 'New filter' }).first().click()
    const sheet = page.getByRole('dialog')
    await sheet.getByRole('button', { name: 'Store' }).click()
    await sheet.getByText('Say whose filter it is.').waitFor()
    await sheet.getByLabel('Subscriber').fill('user_9')
    await sheet
      .getByRole('textbox', { name: 'Expression' })
      .fill('event_type = "purchase" and properties.amount > 100')
    await axeFindsNothing(page, 'the sheet of a new filter')
    await sheet.getByRole('button', { name: 'Store' }).click()
    await sheet.getByRole('button', { name: 'Yes, store' }).click()
    await page.getByText('The filter default of user_9 is stored.').waitFor()
    await sheet.waitFor({ state: 'detached' })
    const stop = new AbortController()
    const stream = await fetch(`${server.url}/stream?subscriber=user_9`, {
      headers: { authorization: `Bearer ${server.key}` },
      signal: stop.signal,
    })
    assert.equal(stream.status, 200)
    const streams = page.getByRole('table', { name: 'Open streams' })
    await streams.getByRole('link', { name: 'user_9' }).waitFor()
    await streams.getByText('live', { exact: true }).waitFor()
    await streams.getByRole('cell', { name: '0 s', exact: true }).waitFor()
    await page.getByRole('table', { name: 'Stored filters' }).getByText('1 stream').waitFor()
    await axeFindsNothing(page, 'Subscriptions with somebody who listens')
    await streams.getByRole('link', { name: 'user_9' }).click()
    await page.waitForURL(/subscriber=user_9/)

    await page.getByRole('link', { name: 'default' }).click()
    await sheet.getByRole('textbox', { name: 'Expression' }).fill('event_type = purchase')
    await sheet.getByRole('button', { name: 'Change' }).click()
    await sheet.getByRole('button', { name: 'Yes, change' }).click()
    await sheet.getByText(/^Expected a value/).waitFor()
    await sheet.getByRole('tab', { name: 'Simple' }).click()
    await sheet.getByLabel('Event types').fill('purchase, order.paid')
    await sheet.getByRole('button', { name: 'Change' }).click()
    await sheet.getByRole('button', { name: 'Yes, change' }).click()
    await page.getByText('The filter default of user_9 is changed.').waitFor()
    const { body } = await call('GET', '/filters/user_9')
    assert.deepEqual((body as unknown as { event_types: unknown }).event_types, ['purchase', 'order.paid'])

    await page.goto(`${server.url}/ui/subscriptions?open=user_9/default`)
    await sheet.getByText('Version').waitFor()
    await axeFindsNothing(page, 'the sheet of a filter')
    await sheet.getByRole('button', { name: 'Delete' }).click()
    await sheet.getByText(/^Delete the filter default\?/).waitFor()
    await sheet.getByRole('button', { name: 'Yes, delete' }).click()
    await page.getByText('The filter default of user_9 is deleted.').waitFor()
    assert.equal((await call('GET', '/filters/user_9')).status, 404)
    stop.abort()
    await page.getByText('Nobody listens now').waitFor()
  })

  test('the lab tries a filter on the past, shows its three forms, and hands it on', async () => {
    const { page } = operator
    await send(
      { event_type: 'lab.a', properties: { amount: 5 } },
      { event_type: 'lab.a', properties: { amount: 50 } },
      { event_type: 'lab.b', properties: { amount: 500 } },
    )
    await page.goto(`${server.url}/ui/filter-lab`)
    await page.getByText('Nothing tested yet').waitFor()
    const field = page.getByRole('textbox', { name: 'Expression' })
    await field.fill('event_type = "lab.a" and properties.amount >= 10')
    await field.press('Enter')
    await page.getByText(/^of [\d,]+ events/).waitFor()
    await page
      .getByRole('table', { name: 'Events that match' })
      .getByRole('link', { name: 'lab.a' })
      .waitFor()
    assert.equal(await page.getByRole('table', { name: 'Events that match' }).getByRole('row').count(), 2)
    await page
      .getByRole('region', { name: 'the filter as pattern' })
      .getByText('"event_type": ["lab.a"]')
      .waitFor()
    await page
      .getByRole('region', { name: 'the filter as simple form' })
      .getByText('"min_amount": 10')
      .waitFor()
    await axeFindsNothing(page, 'a tested filter')
    await page.getByRole('tab', { name: 'Pattern' }).click()
    const pattern = page.getByLabel('EventBridge pattern')
    assert.match(await pattern.inputValue(), /"event_type": \["lab\.a"\]/)
    await pattern.fill('{"event_type": [{"prefix": "lab."}]}')
    await page.getByRole('button', { name: 'Test', exact: true }).click()
    await page
      .getByRole('table', { name: 'Events that match' })
      .getByRole('link', { name: 'lab.b' })
      .waitFor()
    await page.reload()
    await page
      .getByRole('table', { name: 'Events that match' })
      .getByRole('link', { name: 'lab.b' })
      .waitFor()
    assert.equal(await pattern.inputValue(), '{"event_type": [{"prefix": "lab."}]}')
    await pattern.fill('{"event_type": "lab.a"}')
    await page.getByRole('button', { name: 'Test', exact: true }).click()
    await page.getByText(/^\/event_type: /).waitFor()
    await pattern.fill('{"event_type": ["lab.a"')
    await page.getByRole('button', { name: 'Test', exact: true }).click()
    await page.getByText(/^This is not JSON yet/).waitFor()
    await page.goBack()
    await page.getByRole('link', { name: 'Watch live' }).click()
    await heading(page, 'Live').waitFor()
    assert.equal(await page.getByLabel('Filter').inputValue(), 'event_type = "lab.*"')
  })

  test('why a subscriber got an event or did not is told filter by filter', async () => {
    const { page } = operator
    await call('POST', '/filters', {
      subscriber_id: 'why',
      expression: 'user_id = "why" and properties.amount > 10',
    })
    const small = aPurchase({ user_id: 'why', properties: { amount: 3 } })
    const large = aPurchase({ user_id: 'why', properties: { amount: 30 } })
    using stream = await EventStreamReader.open(server, { subscriber: 'why' })
    await send(small, large)
    await stream.count(1)
    await page.goto(`${server.url}/ui/filter-lab`)
    await page.getByRole('tab', { name: 'Explain a delivery' }).click()
    await page.getByLabel('Event id').fill(small.event_id)
    await page.getByLabel('Subscriber').fill('why')
    await page.keyboard.press('Enter')
    await page.getByText('None of the filters of why lets it through.').waitFor()
    await page.getByText('properties.amount > 10: found 3').waitFor()
    await axeFindsNothing(page, 'an explanation')
    await page.reload()
    await page.getByText('None of the filters of why lets it through.').waitFor()
    await page.getByLabel('Event id').fill(large.event_id)
    await page.keyboard.press('Enter')
    await page.getByText('It matches', { exact: true }).waitFor()
    const streams = page.getByRole('list', { name: 'Open streams of why' })
    await streams.getByText('sent', { exact: true }).waitFor()
    await page.getByLabel('Event id').fill(randomUUID())
    await page.keyboard.press('Enter')
    await page.getByText('Not found', { exact: true }).waitFor()
  })

  test('a viewer sees it all, and is told why nothing can be changed', async () => {
    await using viewer = await signIn('viewer')
    const { page } = viewer
    await page.goto(`${server.url}/ui/live`)
    await connected(page)
    await page.goto(`${server.url}/ui/subscriptions?open=why/default`)
    await page.getByText('To change filters, sign in as an operator.').waitFor()
    assert.deepEqual(viewer.complaints, [])
  })

  test('axe finds nothing on the live pages, in both themes, and nothing scrolls sideways at 320 px', async () => {
    const event = aPurchase({ user_id: 'why', properties: { amount: 3, note: 'x'.repeat(2_000) } })
    await send(event)
    const pages: readonly (readonly [string, string | RegExp])[] = [
      ['live', 'Connected'],
      [`live?filter=${encodeURIComponent('a = 1')}`, /Events have no member a/],
      ['subscriptions', 'nobody now'],
      ['subscriptions?open=why/default', 'Applies from'],
      ['subscriptions?open=new', 'New filter'],
      ['filter-lab', 'Nothing tested yet'],
      [`filter-lab?filter=${encodeURIComponent('user_id = "why"')}`, 'Would have let through'],
      [`filter-lab?view=explain&event=${event.event_id}&subscriber=why`, /None of the filters/],
    ]
    const looks = [
      { theme: 'light', width: 1280 },
      { theme: 'dark', width: 768 },
      { theme: 'dark', width: 320 },
    ] as const
    const prepare = async (page: Page, path: string) => {
      if (path !== 'live') return
      await send(event, aPurchase({ user_id: 'a'.repeat(128) }))
      await rowsOf(page).first().waitFor()
    }
    await looksWell(browser, { pages, looks, url: server.url, signedInAs: operator.page.context(), prepare })
  })

  test('on a phone every page is reached: four by the bar, the others by More', async () => {
    await using phone = await openWindow(browser, { width: 320, signedInAs: operator.page.context() })
    const { page } = phone
    await page.goto(`${server.url}/ui/live`)
    await connected(page)
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Filter lab' }).click()
    await heading(page, 'Filter lab').waitFor()
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Subscriptions' }).click()
    await heading(page, 'Subscriptions').waitFor()
    await axeFindsNothing(page, 'the phone after More')
  })

  test('the script of each live page comes compressed, with air below 150 kB', async () => {
    const pages: readonly (readonly [string, string | RegExp])[] = [
      ['live', 'Connected'],
      ['subscriptions', 'Stored filters'],
      ['subscriptions?view=webhooks', 'No webhooks yet'],
      ['filter-lab', 'Nothing tested yet'],
    ]
    for (const [path, sign] of pages) {
      await using window = await openWindow(browser, { signedInAs: operator.page.context() })
      await bringsLittleScript(window.page, path, async () => {
        await window.page.goto(`${server.url}/ui/${path}`)
        await window.page.getByText(sign).first().waitFor()
      })
    }
  })

  test('nothing that a page opened stays open on the server once it is left', async () => {
    const { page } = operator
    await page.goto(`${server.url}/ui/live`)
    await connected(page)
    await page.getByRole('link', { name: 'Overview' }).first().click()
    await heading(page, 'Overview').waitFor()
    const none = async () => {
      const { body } = await call('GET', '/streams')
      return (body.data as readonly unknown[]).length === 0 ? true : undefined
    }
    await eventually('no stream is open', none, 10_000)
    assert.deepEqual(operator.complaints, [])
  })
})
