import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser, Page } from '@playwright/test'
import { eventually } from '@pulse/dev/services/eventually'
import { type PulseProcess, startPulse } from '@pulse/dev/services/pulse'
import { axeFindsNothing, fitsItsWidth, heading, openBrowser, openWindow, skipBrowser } from './browser.ts'
import { aPurchase, callerOf } from './journey.ts'

// What a page may bring beside its picture and its style.
const scriptBytesMax = 30_000
const waitMsMax = 20_000

const looks = [
  { theme: 'light', width: 1440 },
  { theme: 'dark', width: 1440 },
  { theme: 'light', width: 375 },
  { theme: 'dark', width: 375 },
  { theme: 'dark', width: 320 },
] as const

const feedOf = (page: Page) => page.getByRole('list', { name: 'Live feed' })
const textOf = (page: Page, id: string) => page.locator(`#${id}`).innerText()
const capturedOf = async (page: Page) => Number((await textOf(page, 'captured')).replaceAll(',', ''))

describe('the pages that anybody may see', { skip: skipBrowser }, () => {
  let data: string
  let server: PulseProcess
  let browser: Browser

  before(async () => {
    data = await mkdtemp(join(tmpdir(), 'pulse-pages-'))
    server = await startPulse(data)
    browser = await openBrowser()
  })
  after(async () => {
    await browser?.close()
    await server?.stop()
    await rm(data, { recursive: true, force: true, maxRetries: 5 })
  })

  test('through a crash of the server the page says that it is disconnected, comes back by itself and goes on', async () => {
    await using window = await openWindow(browser)
    const { page } = window
    await page.goto(`${server.url}/sse`)
    await feedOf(page).locator('> li').nth(3).waitFor()
    const { port } = new URL(server.url)
    await server.kill()
    await page.getByRole('status').getByText('Disconnected', { exact: true }).waitFor()
    const before = await capturedOf(page)
    server = await startPulse(data, { PORT: port })
    await page.getByRole('status').getByText('Connected', { exact: true }).waitFor()
    await eventually(
      'new events',
      async () => ((await capturedOf(page)) >= before + 4 ? true : undefined),
      waitMsMax,
    )
    const items = await feedOf(page).locator('> li').count()
    assert.ok(items >= 8 && items <= 20, `${items}`)
  })

  // Each has a window of its own, and most of their time is waiting: for the next measurement, or for a page to try again.
  describe('of a server that stays', { concurrency: 2 }, () => {
    test('BF-19 /sse shows what is measured as it arrives, newest first, without a credential or a reload', async () => {
      await using window = await openWindow(browser)
      const { page } = window
      await page.goto(`${server.url}/sse`)
      await heading(page, 'Real-time Event Stream').waitFor()
      await page.getByRole('status').getByText('Connected', { exact: true }).waitFor()
      // One request: the second measurement comes over the stream that brought the first.
      await feedOf(page).locator('> li').nth(7).waitFor()
      assert.ok((await capturedOf(page)) >= 8)
      assert.match(await textOf(page, 'last-sync'), /^\d\d:\d\d:\d\d$/)
      const topics = await feedOf(page).locator('[data-part=topic]').allInnerTexts()
      assert.deepEqual(topics.slice(-4), [
        'System Health',
        'Security Audit',
        'User Activity',
        'Global Metrics',
      ])
      const times = await page.evaluate<string[]>(
        `[...document.querySelectorAll('#feed time')].map((time) => time.getAttribute('datetime'))`,
      )
      assert.deepEqual(times, times.toSorted().reverse())
      await feedOf(page)
        .getByText(/^memory [\d,]+ MB$/)
        .first()
        .waitFor()
      await feedOf(page)
        .getByText(/^database answer [\d.]+ ms$/)
        .first()
        .waitFor()
      assert.deepEqual(window.complaints, [])
    })

    test('the figures are those of this server: what it receives and whom it refuses', async () => {
      await using window = await openWindow(browser)
      const { page } = window
      await page.goto(`${server.url}/sse`)
      await page.getByRole('status').getByText('Connected', { exact: true }).waitFor()
      const events = Array.from({ length: 50 }, () => aPurchase())
      assert.equal((await callerOf(server)('POST', '/events', events)).status, 200)
      for (let request = 0; request < 20; request++)
        assert.equal((await fetch(`${server.url}/events`)).status, 401)
      await feedOf(page)
        .getByText(/^[\d,.]*[1-9][\d,.]* events\/s received$/)
        .first()
        .waitFor()
      await feedOf(page)
        .getByText(/^[\d.]*[1-9][\d.]* requests\/s refused$/)
        .first()
        .waitFor()
    })

    test('Clear starts the count anew and Pause holds the feed still while it goes on counting', async () => {
      await using window = await openWindow(browser)
      const { page } = window
      await page.goto(`${server.url}/sse`)
      await feedOf(page).locator('> li').nth(3).waitFor()
      // In one turn of the page, so that no event comes in between.
      const cleared = await page.evaluate<string>(`(() => {
        document.getElementById('clear').click()
        return document.getElementById('captured').textContent + ' ' + document.getElementById('feed').childElementCount
      })()`)
      assert.equal(cleared, '0 0')
      await feedOf(page).locator('> li').nth(3).waitFor()
      await page.getByRole('button', { name: 'Pause' }).click()
      const shown = await feedOf(page).innerText()
      const before = await capturedOf(page)
      await eventually(
        'it goes on counting',
        async () => ((await capturedOf(page)) >= before + 4 ? true : undefined),
        waitMsMax,
      )
      assert.equal(await feedOf(page).innerText(), shown)
      await page.getByRole('button', { name: 'Resume' }).press('Enter')
      await eventually(
        'the feed goes on',
        async () => ((await feedOf(page).innerText()) === shown ? undefined : true),
        waitMsMax,
      )
    })

    test('where the stream is refused, which no browser tries again by itself, the page comes back after a while', async () => {
      await using window = await openWindow(browser)
      const { page } = window
      await page.route('**/stream', (route) => route.fulfill({ status: 503, body: '' }))
      await page.goto(`${server.url}/sse`)
      await page.getByRole('status').getByText('Disconnected', { exact: true }).waitFor()
      await page.unroute('**/stream')
      await page.getByRole('status').getByText('Connected', { exact: true }).waitFor()
      await feedOf(page).locator('> li').first().waitFor()
    })

    test('BF-20 the two pages lead to each other, and each link resolves', async () => {
      await using window = await openWindow(browser)
      const { page } = window
      await page.goto(`${server.url}/names`)
      await page.getByRole('link', { name: 'Explore real-time events (SSE)' }).click()
      await heading(page, 'Real-time Event Stream').waitFor()
      assert.equal(page.url(), `${server.url}/sse`)
      await page.getByRole('link', { name: 'Back to the names' }).click()
      await heading(page, 'Claim Your Identity').waitFor()
      for (const path of ['/names', '/sse']) {
        await page.goto(`${server.url}${path}`)
        const links = await page.evaluate<string[]>(`[...document.links].map((link) => link.href)`)
        assert.ok(links.length >= 4)
        for (const link of links) assert.equal((await fetch(link)).status, 200, link)
      }
    })

    test('BF-22 both pages look well in both themes, on a wide screen and on a phone', async () => {
      for (const look of looks) {
        await using window = await openWindow(browser, look)
        const { page } = window
        for (const path of ['/sse', '/names']) {
          const where = `${path} (${look.theme}, ${look.width} px)`
          await page.goto(`${server.url}${path}`)
          await page.getByRole('heading', { level: 1 }).waitFor()
          if (path === '/sse') {
            await feedOf(page).locator('> li').nth(3).waitFor()
            await page.getByRole('button', { name: 'Pause' }).click()
          }
          await axeFindsNothing(page, where)
          await fitsItsWidth(page, where)
        }
        assert.deepEqual(window.complaints, [])
      }
    })

    test('each page brings one small script, and nothing from elsewhere', async () => {
      for (const path of ['/sse', '/names']) {
        await using window = await openWindow(browser)
        const { page } = window
        const asked: { readonly url: string; readonly type: string }[] = []
        page.on('request', (request) => asked.push({ url: request.url(), type: request.resourceType() }))
        await page.goto(`${server.url}${path}`, { waitUntil: 'load' })
        const scripts = asked.filter(({ type }) => type === 'script').map(({ url }) => url)
        const bodies = await Promise.all(scripts.map(async (url) => (await fetch(url)).arrayBuffer()))
        const bytes = bodies.reduce((sum, { byteLength }) => sum + byteLength, 0)
        assert.ok(bytes > 0 && bytes < scriptBytesMax, `${path}: ${bytes} bytes of script`)
        assert.ok(
          asked.length >= 4 && asked.every(({ url }) => url.startsWith(server.url)),
          JSON.stringify(asked),
        )
      }
    })

    const statusOf = (page: Page) => page.getByRole('status')
    const field = (page: Page) => page.getByLabel('Username')
    const suggestionsOf = (page: Page) =>
      page.getByRole('list', { name: 'These are free:' }).getByRole('button')
    const call = (...asked: Parameters<ReturnType<typeof callerOf>>) => callerOf(server)(...asked)
    const aName = () => `n${randomUUID().replaceAll('-', '').slice(0, 12)}`
    const openNames = async (look: Parameters<typeof openWindow>[1] = {}) => {
      const window = await openWindow(browser, look)
      await window.page.goto(`${server.url}/names`)
      return window
    }
    /** Until then the database answers, and nothing is suggested. */
    const untilFilterAnswers = () =>
      eventually(
        'the filter answers',
        async () => {
          const { body } = await call('GET', '/api/names/stats')
          return (body as unknown as { certain: boolean }).certain || undefined
        },
        waitMsMax,
      )

    test('BF-21 a name is checked as it is typed, without a reload: free, taken with free ones beside it, and empty again', async () => {
      await untilFilterAnswers()
      await using window = await openNames()
      const { page } = window
      let taken = ''
      const isFoundByFilter = async () => {
        taken = aName()
        await field(page).fill('')
        await field(page).pressSequentially(taken)
        await statusOf(page).getByText(`${taken} is available!`, { exact: true }).waitFor()
        return (await textOf(page, 'by-filter')) === '0' ? undefined : true
      }
      // While its lease is renewed late, on a busy machine, the filter leaves the answer to the database.
      await eventually('the filter alone has answered', isFoundByFilter, waitMsMax)
      const before = Number(await textOf(page, 'by-database'))
      assert.equal((await call('POST', '/api/names', { username: taken })).status, 201)
      await field(page).press('Enter')
      await statusOf(page).getByText(`Sorry, ${taken} is already taken.`, { exact: true }).waitFor()
      assert.equal(Number(await textOf(page, 'by-database')), before + 1)
      const suggestion = suggestionsOf(page).first()
      const free = await suggestion.innerText()
      await axeFindsNothing(page, 'a taken name')
      await suggestion.press('Enter')
      await statusOf(page).getByText(`${free} is available!`, { exact: true }).waitFor()
      assert.equal(await field(page).inputValue(), free)
      assert.equal(await suggestionsOf(page).count(), 0)
      await field(page).fill('   ')
      await eventually(
        'nothing is said of nothing',
        async () => ((await statusOf(page).innerText()) === '' ? true : undefined),
        waitMsMax,
      )
      assert.deepEqual(window.complaints, [])
    })

    test('a name that cannot be one is told why', async () => {
      await using window = await openNames({ width: 375, theme: 'dark' })
      const { page } = window
      await field(page).fill('two words')
      await page.locator('#username[aria-invalid=true]').waitFor()
      assert.ok((await statusOf(page).innerText()).length > 10)
      await axeFindsNothing(page, 'a name that is not valid')
      await field(page).fill(aName())
      await statusOf(page).getByText('is available!').waitFor()
      assert.equal(await page.locator('#username[aria-invalid=true]').count(), 0)
    })

    test('fast typing asks once, and an answer that comes late is not shown for another name', async () => {
      await using window = await openNames()
      const { page } = window
      const asked: string[] = []
      const slow = aName()
      const { promise: released, resolve: release } = Promise.withResolvers<void>()
      await page.route('**/api/check-username**', async (route) => {
        const username = new URL(route.request().url()).searchParams.get('username') ?? ''
        asked.push(username)
        if (username === slow) await released
        await route.continue().catch(() => {})
      })
      const type = (text: string) => `(() => {
        const field = document.getElementById('username')
        for (const letter of ${JSON.stringify(text)}) {
          field.value += letter
          field.dispatchEvent(new Event('input'))
        }
      })()`
      // In one turn of the page: no key is further from the next than the pause that asks.
      await page.evaluate(type(slow))
      await statusOf(page).getByText('Checking…').waitFor()
      await page.evaluate(type('x'))
      await statusOf(page).getByText(`${slow}x is available!`, { exact: true }).waitFor()
      release()
      assert.deepEqual(asked, [slow, `${slow}x`])
      assert.equal(await statusOf(page).innerText(), `${slow}x is available!`)
      assert.equal(await textOf(page, 'asked'), '1')
    })

    test('where there is no answer the page says so, never that a name is free, and asks again by itself', async () => {
      await using window = await openNames()
      const { page } = window
      await page.context().setOffline(true)
      const name = aName()
      await field(page).fill(name)
      await statusOf(page).getByText('Error checking username. The server does not answer.').waitFor()
      await axeFindsNothing(page, 'an error')
      await page.context().setOffline(false)
      await statusOf(page).getByText(`${name} is available!`, { exact: true }).waitFor()
    })

    test('a question that the server finds wrong is answered once, with the reason, and not asked again', async () => {
      await using window = await openNames()
      const { page } = window
      let asked = 0
      page.on('request', (request) => {
        if (request.url().includes('/api/check-username')) asked++
      })
      await page.clock.install()
      // The field takes no more than 1,024 from a keyboard; what fills it in for somebody is not bound to that.
      await page.evaluate(`(() => {
        const field = document.getElementById('username')
        field.value = 'x'.repeat(1_025)
        field.dispatchEvent(new Event('input'))
      })()`)
      await statusOf(page).getByText('must have at most 1024 characters').waitFor()
      await page.locator('#username[aria-invalid=true]').waitFor()
      await page.clock.runFor(60_000)
      await field(page).fill(aName())
      await statusOf(page).getByText('is available!').waitFor()
      assert.equal(asked, 2)
    })

    test('over a limit the page says how long to wait, asks nothing until then, and then for what stands there', async () => {
      await using window = await openNames({ width: 375 })
      const { page } = window
      const asked: string[] = []
      await page.route('**/api/check-username**', async (route) => {
        asked.push(new URL(route.request().url()).searchParams.get('username') ?? '')
        const body = JSON.stringify({ code: 'rate_limited', retry_after: 42 })
        if (asked.length > 1) await route.continue()
        else await route.fulfill({ status: 429, contentType: 'application/problem+json', body })
      })
      await page.clock.install()
      const [first, second] = [aName(), aName()]
      await field(page).fill(first)
      await statusOf(page).getByText('Too many names were asked for in a short time.').waitFor()
      const waits = async () => Number(/in (\d+) s/.exec(await textOf(page, 'wait'))?.[1])
      assert.ok((await waits()) > 30)
      await page.clock.runFor(15_000)
      assert.ok((await waits()) <= 27)
      await axeFindsNothing(page, 'a limit')
      await fitsItsWidth(page, 'a limit')
      await field(page).fill(second)
      await statusOf(page).getByText('Too many names').waitFor()
      assert.ok((await waits()) <= 27)
      await page.clock.runFor(2_000)
      assert.deepEqual(asked, [first])
      await page.clock.runFor(27_000)
      await statusOf(page).getByText(`${second} is available!`, { exact: true }).waitFor()
      assert.deepEqual(asked, [first, second])
      assert.equal(await page.locator('#wait').isVisible(), false)
    })

    test('who is signed in sees the filter’s figures, a stranger only those of their own checks', async () => {
      await using stranger = await openNames()
      const refused = (page: Page) => {
        const urls: string[] = []
        page.on('response', (answer) => {
          if (answer.status() >= 400) urls.push(answer.url())
        })
        return urls
      }
      const refusedToStranger = refused(stranger.page)
      await stranger.page.reload()
      await field(stranger.page).fill(aName())
      await statusOf(stranger.page).getByText('is available!').waitFor()
      assert.equal(await stranger.page.getByRole('heading', { name: 'The filter now' }).count(), 0)
      assert.deepEqual(refusedToStranger, [])
      const { body } = await call('POST', '/admin/sign-in-links', { role: 'viewer' })
      await using viewer = await openWindow(browser, { width: 375 })
      await viewer.page.goto(String((body as unknown as { url: string }).url))
      await heading(viewer.page, 'Overview').waitFor()
      await viewer.page.goto(`${server.url}/names`)
      await viewer.page.getByRole('heading', { name: 'The filter now' }).waitFor()
      for (const word of ['Names', 'Filled', 'Memory', 'False positives', 'Generation', 'Behind the log'])
        await viewer.page.getByRole('term').getByText(word, { exact: true }).waitFor()
      await axeFindsNothing(viewer.page, 'the figures of the filter')
      await fitsItsWidth(viewer.page, 'the figures of the filter')
      // The session ends: that is found out once.
      await viewer.page.context().clearCookies()
      const refusedToViewer = refused(viewer.page)
      for (let visit = 0; visit < 2; visit++) {
        await viewer.page.reload()
        await field(viewer.page).fill(aName())
        await statusOf(viewer.page).getByText('is available!').waitFor()
      }
      assert.deepEqual(refusedToViewer, [`${server.url}/api/names/stats`])
    })
  })
})
