import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { AxeBuilder } from '@axe-core/playwright'
import { type Browser, type BrowserContext, chromium, type Page } from '@playwright/test'

const chromiumPath = '/usr/bin/chromium'
const isThere = existsSync(chromiumPath)
if (!isThere && (process.env.REQUIRE ?? '').split(',').includes('chromium'))
  throw new Error(`${chromiumPath} is missing, and REQUIRE names it`)

/** Why tests with a browser are left out; false if they are not. */
export const skipBrowser = isThere ? false : `${chromiumPath} is missing`

const waitMsMax = 20_000

// A page may bring 150 kB; what it is below that is room for a new library's next version.
const scriptBytesMax = 142_000

/** Starts a browser without a screen, with more words for its command line if there are any. */
export const openBrowser = (words: readonly string[] = []): Promise<Browser> =>
  chromium.launch({ executablePath: chromiumPath, args: ['--no-sandbox', ...words] })

/** A browser window of somebody who has just opened it. What its console complained of is in `complaints`. */
export interface Window extends AsyncDisposable {
  readonly page: Page
  readonly complaints: readonly string[]
}

export interface Look {
  readonly width?: number
  readonly theme?: 'light' | 'dark'
  /** Cookies of another window, for somebody who is signed in already. */
  readonly signedInAs?: BrowserContext
}

/** Opens a window without cookies, or with those of another one. */
export async function openWindow(
  browser: Browser,
  { width = 1280, theme = 'light', signedInAs }: Look = {},
): Promise<Window> {
  const storageState = await signedInAs?.storageState()
  const context = await browser.newContext({
    viewport: { width, height: 800 },
    colorScheme: theme,
    // Nothing moves, so that axe never measures a colour that is half way in.
    reducedMotion: 'reduce',
    ...(storageState ? { storageState } : {}),
  })
  context.setDefaultTimeout(waitMsMax)
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (said) => {
    // Answers such as 401 and 422 are part of the journeys; the browser logs them by itself.
    if (said.type() === 'error' && !said.text().startsWith('Failed to load resource'))
      complaints.push(said.text())
  })
  return { page, complaints, [Symbol.asyncDispose]: () => context.close() }
}

/** The title of a page. */
export const heading = (page: Page, name: string | RegExp) => page.getByRole('heading', { level: 1, name })

/** Fails with what axe finds on the page as it is now, by WCAG 2.2 AA and its best practices. */
export async function axeFindsNothing(page: Page, where: string): Promise<void> {
  // All of it in the page itself: the other way is for pages in frames, and brings axe into a second page each time.
  assert.equal(page.frames().length, 1, `${where} has frames`)
  const { violations } = await new AxeBuilder({ page })
    .setLegacyMode(true)
    .options({ resultTypes: ['violations'] })
    .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'])
    .analyze()
  const found = violations.map(
    ({ id, nodes }) =>
      `${where}: ${id}\n${nodes.map((node) => `  ${node.html}\n  ${node.failureSummary}`).join('\n')}`,
  )
  assert.deepEqual(found, [])
}

/** Fails if the page scrolls sideways. */
export async function fitsItsWidth(page: Page, where: string): Promise<void> {
  const over = await page.evaluate<number>(
    'document.documentElement.scrollWidth - document.documentElement.clientWidth',
  )
  assert.ok(over <= 0, `${where} scrolls sideways by ${over} px`)
}

/** Fails if the scripts that come until `act` is done are larger than a page may bring, compressed as for old browsers. */
export async function bringsLittleScript(page: Page, where: string, act: () => Promise<void>): Promise<void> {
  const scripts = new Set<string>()
  page.on('response', (answer) => {
    if (answer.request().resourceType() === 'script') scripts.add(answer.url())
  })
  await act()
  // Asked for once more by hand: this browser takes Brotli, the limit is for those that take gzip.
  const sizes = [...scripts].map(async (url) => {
    const answer = await fetch(url, { headers: { 'accept-encoding': 'gzip' } })
    await answer.body?.cancel()
    return Number(answer.headers.get('content-length'))
  })
  const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
  assert.ok(bytes > 100_000 && bytes <= scriptBytesMax, `${where}: ${bytes} bytes in ${sizes.length} files`)
}

interface Walk {
  /** Below `/ui/`, and what is there once the page is. */
  readonly pages: readonly (readonly [path: string, sign: string | RegExp])[]
  readonly looks: readonly { readonly theme: 'light' | 'dark'; readonly width: number }[]
  readonly url: string
  /** Who looks. */
  readonly signedInAs: BrowserContext
  /** Something that is done on a page before it is looked at. */
  readonly prepare?: (page: Page, path: string) => Promise<void>
}

/** Looks at pages in several themes and widths: axe finds nothing, nothing scrolls sideways, nothing complains. */
export async function looksWell(browser: Browser, walk: Walk): Promise<void> {
  // Side by side: a page that is drawn or asked for leaves the processor to another one.
  await Promise.all(walk.looks.map((look) => walkThrough(browser, walk, look)))
}

async function walkThrough(browser: Browser, walk: Walk, look: Walk['looks'][number]): Promise<void> {
  await using window = await openWindow(browser, { ...look, signedInAs: walk.signedInAs })
  for (const [path, sign] of walk.pages) {
    const where = `/ui/${path} (${look.theme}, ${look.width} px)`
    await window.page.goto(`${walk.url}/ui/${path}`)
    await window.page.getByText(sign).first().waitFor()
    await walk.prepare?.(window.page, path)
    await axeFindsNothing(window.page, where)
    await fitsItsWidth(window.page, where)
  }
  assert.deepEqual(window.complaints, [])
}
