import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Browser, chromium, type Page } from '@playwright/test'
import { openInstallation } from '@pulse/dev/faults/installation'
import { openServices, type Services } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { servePage } from '@pulse/dev/services/served-page'
import { createClient } from '../src/client.ts'

const chromiumPath = '/usr/bin/chromium'
const isThere = existsSync(chromiumPath)
if (!isThere && (process.env.REQUIRE ?? '').split(',').includes('chromium'))
  throw new Error(`${chromiumPath} is missing, and REQUIRE names it`)

const entry = fileURLToPath(new URL('react-page.ts', import.meta.url))

/** A window, what went wrong in its page, and the addresses of its sockets. */
async function openWindow(browser: Browser) {
  const context = await browser.newContext()
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  const sockets: string[] = []
  page.on('websocket', (socket) => sockets.push(socket.url()))
  return { context, page, complaints, sockets }
}

describe('the hooks in a browser', { skip: isThere ? false : `${chromiumPath} is missing` }, () => {
  let services: Services
  let browser: Browser
  before(async () => {
    services = await openServices(['postgres'])
    browser = await chromium.launch({ executablePath: chromiumPath, args: ['--no-sandbox'] })
  })
  after(async () => {
    await browser.close()
    await services[Symbol.asyncDispose]()
  })

  const shows = (page: Page, id: string, text: string) =>
    eventually(
      `#${id} shows "${text}"`,
      async () => {
        const shown = await page.textContent(`#${id}`, { timeout: 1_000 })
        if (shown !== text) throw new Error(`it shows "${shown}"`)
        return true
      },
      20_000,
    )

  test('a page shows each event once, through a restart of the server, a lost network and its own coming and going', async () => {
    await using database = await freshDatabase(services.address('postgres'))
    await using installation = await openInstallation({ databaseUrl: database.url })
    await using pages = await servePage(entry)
    const first = await installation.start()
    const client = createClient({ url: first.url, credential: first.key })
    const publish = async (type: string, ...numbers: number[]) => {
      for (const n of numbers)
        await client.events.publish({ event_type: type, user_id: 'ann', properties: { n } })
    }
    const key = await client.keys.create({ name: 'page', scopes: ['stream:read'] })
    const { context, page, complaints, sockets } = await openWindow(browser)

    await publish('sdk.a', 0)
    const about = { url: first.url, credential: key.key }
    await page.goto(`${pages.url}/#${encodeURIComponent(JSON.stringify(about))}`)
    await shows(page, 'connection', 'live')
    await publish('sdk.a', 1, 2)
    await shows(page, 'numbers', '2 1 0')
    // Strict mode takes every effect back once; that is no reason for another socket.
    assert.equal(sockets.length, 1)
    assert.ok(!sockets[0]?.includes(key.key), 'the key stands in no address')

    await first.kill()
    const again = await installation.start({ PORT: new URL(first.url).port }, first.data)
    await publish('sdk.a', 3)
    await shows(page, 'numbers', '3 2 1 0')

    await context.setOffline(true)
    await shows(page, 'connection', 'held offline')
    await publish('sdk.a', 4)
    await context.setOffline(false)
    await shows(page, 'connection', 'live')
    await shows(page, 'numbers', '4 3 2 1 0')

    await page.click('#toggle')
    await eventually(
      'nobody listens any more',
      async () => (await client.streams.list({ subscriber: 'user_1' })).data.length === 0 || undefined,
      10_000,
    )
    await page.click('#toggle')
    await shows(page, 'numbers', '4 3 2 1 0')
    await page.click('#clear')
    await shows(page, 'numbers', '')
    const drawn = await page.getAttribute('#connection', 'data-drawn')
    await publish('sdk.a', 5, 6)
    await shows(page, 'numbers', '6 5')
    assert.equal(
      await page.getAttribute('#connection', 'data-drawn'),
      drawn,
      'events do not draw the connection',
    )

    await publish('sdk.b', 10)
    await page.click('#other')
    await shows(page, 'numbers', '10')
    await client.keys.revoke(key.id)
    await eventually(
      'the error',
      async () => (await page.textContent('#error'))?.includes('4401') || undefined,
      20_000,
    )
    await shows(page, 'connection', 'ended')
    assert.deepEqual(complaints, [])
    await context.close()
    await again.stop()
  })
})
