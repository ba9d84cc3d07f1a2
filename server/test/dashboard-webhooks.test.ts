import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Browser } from '@playwright/test'
import { eventually } from '@pulse/dev/services/eventually'
import type { Webhook } from '@pulse/protocol/webhook'
import {
  axeFindsNothing,
  heading,
  looksWell,
  openBrowser,
  openWindow,
  skipBrowser,
  type Window,
} from './browser.ts'
import { aPurchase, type Journey, startJourney } from './journey.ts'
import { ofAnotherLog } from './stream-journey.ts'
import { answer, isSigned, openReceiver, type WebhookReceiver } from './webhook-receiver.ts'

describe('the webhooks of the dashboard', { skip: skipBrowser }, () => {
  let journey: Journey
  let browser: Browser
  let receiver: WebhookReceiver
  let operator: Window

  const webhooks = async () =>
    (await journey.call('GET', '/webhooks')).body.data as unknown as readonly Webhook[]
  const signIn = async (role: string): Promise<Window> => {
    const window = await openWindow(browser)
    const { body } = await journey.call('POST', '/admin/sign-in-links', { role })
    await window.page.goto(String((body as unknown as { url: string }).url))
    await heading(window.page, 'Overview').waitFor()
    return window
  }

  before(async () => {
    journey = await startJourney({
      WEBHOOK_ALLOW_PRIVATE: 'true',
      WEBHOOK_ATTEMPTS: '3',
      WEBHOOK_RETRY_BASE_MS: '20',
      WEBHOOK_RETRY_MAX_MS: '50',
    })
    // No webhook is there yet, so only its handler refuses it.
    await journey.send(aPurchase({ properties: { amount: -1 } }))
    receiver = await openReceiver()
    browser = await openBrowser()
    operator = await signIn('admin')
  })
  after(async () => {
    await browser?.close()
    await receiver?.[Symbol.asyncDispose]()
    await journey?.[Symbol.asyncDispose]()
  })

  test('an empty list leads to a webhook, whose secret is shown once and signs the test event', async () => {
    const { page } = operator
    await page.goto(`${journey.server.url}/ui/subscriptions`)
    await page.getByRole('tab', { name: 'Webhooks' }).click()
    await page.getByText('No webhooks yet').waitFor()
    assert.equal(new URL(page.url()).search, '?view=webhooks')
    await axeFindsNothing(page, 'no webhooks')
    await page.getByRole('link', { name: 'New webhook' }).first().click()
    const sheet = page.getByRole('dialog')
    await sheet.getByRole('button', { name: 'Make it' }).click()
    await sheet.getByText('Say whose events are sent.').waitFor()
    await sheet.getByLabel('Subscriber').fill('user_9')
    await sheet.getByLabel('Address').fill('ftp://127.0.0.1/hook')
    await sheet.getByRole('button', { name: 'Make it' }).click()
    await sheet.getByText(/^Must begin with http/i).waitFor()
    await sheet.getByLabel('Address').fill(receiver.url)
    await sheet.getByLabel('What is sent').selectOption('own')
    await sheet.getByRole('textbox', { name: 'Expression' }).fill('event_type = purchase')
    await sheet.getByRole('button', { name: 'Make it' }).click()
    await sheet.getByText(/^Expected a value/).waitFor()
    await axeFindsNothing(page, 'the sheet of a new webhook')
    await sheet.getByRole('textbox', { name: 'Expression' }).fill('event_type = "purchase"')
    await sheet.getByRole('button', { name: 'Make it' }).click()
    const secret = await sheet.getByRole('region', { name: 'the secret' }).innerText()
    assert.match(secret, /^whsec_/)
    await sheet.getByRole('button', { name: 'Send a test event' }).click()
    await sheet.getByText(/^It answered 200, after/).waitFor()
    const [first] = receiver.requests
    assert.ok(first)
    assert.equal(first.event.event_type, 'pulse.webhook.test')
    assert.ok(await isSigned(secret, first))
    await axeFindsNothing(page, 'the secret of a webhook')
    await sheet.getByRole('button', { name: 'I have kept the secret' }).click()
    await page.waitForURL(/open=[0-9a-f-]{36}$/)
    await page.reload()
    await sheet.getByText('since the last success').waitFor()
    assert.ok(!(await page.content()).includes(secret), 'it is never shown again')
  })

  test('what was taken, how far it is behind and why it fails show by themselves', async () => {
    const { page } = operator
    await page.goto(`${journey.server.url}/ui/subscriptions?view=webhooks`)
    const row = page.getByRole('table', { name: 'Webhooks' }).getByRole('row').nth(1)
    await row.getByText('active').waitFor()
    await journey.send(aPurchase({ user_id: 'ada' }))
    await receiver.events(2)
    await row.getByRole('cell', { name: '1', exact: true }).waitFor()
    // It stays away for longer than any test, so that what waits is seen to wait.
    receiver.behave(answer(503, { 'retry-after': '3600' }))
    await journey.send(aPurchase({ user_id: 'ada' }))
    await row.getByText(/^[1-9]\d* s$/).waitFor()
    receiver.behave(answer(418))
    await page.getByRole('link', { name: /^http:\/\/127/ }).click()
    const sheet = page.getByRole('dialog')
    await sheet.getByRole('button', { name: 'Pause' }).click()
    await page.getByText(/^The webhook to 127\S+ is paused\.$/).waitFor()
    await sheet.getByText('Paused on request.').waitFor()
    await axeFindsNothing(page, 'a paused webhook')
    await sheet.getByRole('button', { name: 'Resume' }).click()
    await sheet.getByText('The receiver answered 418.').waitFor()
    await sheet.getByText('The last attempts failed; it goes on trying').waitFor()
    await sheet.getByRole('button', { name: 'Send a test event' }).click()
    await sheet.getByText(/^The receiver answered 418, after/).waitFor()
    await axeFindsNothing(page, 'a failing webhook')
  })

  test('what no attempt delivered is found from its webhook and redriven', async () => {
    const { page } = operator
    const ofHandler = async () =>
      (await journey.call('GET', '/dead-letters?handler=purchase')).body.data.length === 1 ? true : undefined
    await eventually('a dead letter that is none of its own', ofHandler, 10_000)
    await page.goto(`${journey.server.url}/ui/subscriptions?view=webhooks`)
    await page.getByRole('link', { name: /^http:\/\/127/ }).click()
    const sheet = page.getByRole('dialog')
    await sheet.getByRole('list', { name: 'Its newest dead letters' }).getByText('purchase').waitFor()
    await sheet.getByRole('link', { name: 'See all, and redrive' }).click()
    await heading(page, 'Dead letters').waitFor()
    const [webhook] = await webhooks()
    assert.ok(webhook)
    assert.equal(new URL(page.url()).search, `?webhook=${webhook.id}`)
    await page.getByText('Only what the receiver of').waitFor()
    await axeFindsNothing(page, 'the dead letters of a webhook')
    await using cutOff = await openWindow(browser, { signedInAs: page.context() })
    await cutOff.page.route(/\/dead-letters\?/, (route) => route.abort())
    await cutOff.page.goto(`${journey.server.url}/ui/subscriptions?view=webhooks&open=${webhook.id}`)
    await cutOff.page.getByRole('dialog').getByRole('alert').waitFor()
    receiver.behave(answer(204))
    const before = receiver.requests.length
    await page.getByRole('table', { name: 'Dead letters' }).getByRole('link', { name: 'purchase' }).click()
    await sheet.getByRole('button', { name: 'Redrive', exact: true }).click()
    await sheet.getByText('by which the receiver can tell if it has it already').waitFor()
    await sheet.getByRole('button', { name: 'Yes, redrive' }).click()
    await receiver.count(before + 1)
    await sheet.getByRole('link', { name: `webhook ${webhook.id.slice(0, 8)}` }).click()
    await sheet.getByText('active', { exact: true }).waitFor()
  })

  test('an address and a filter are changed and a webhook is deleted, each after a question', async () => {
    const { page } = operator
    const [webhook] = await webhooks()
    assert.ok(webhook)
    await page.goto(`${journey.server.url}/ui/subscriptions?view=webhooks&open=${webhook.id}`)
    const sheet = page.getByRole('dialog')
    const address = sheet.getByLabel('Address')
    await address.waitFor()
    // Somebody else changes it meanwhile: what is not written here follows, and would not be changed back.
    const url = `${receiver.url}/elsewhere`
    const filter = { event_types: ['purchase'] }
    await journey.call('PATCH', `/webhooks/${webhook.id}`, { url, filter })
    const follows = async () => ((await address.inputValue()) === url ? true : undefined)
    await eventually('the address follows', follows, 15_000)
    // A filter that is stored without the members which the form has is the same.
    await sheet.getByRole('button', { name: 'Change' }).click()
    const nothing = sheet.getByText('Nothing to change: it is stored like that already.')
    await nothing.waitFor()
    await address.fill(`${receiver.url}/other`)
    await nothing.waitFor({ state: 'detached' })
    await sheet.getByLabel('What is sent').selectOption('stored')
    await sheet.getByRole('button', { name: 'Change' }).click()
    await sheet.getByRole('button', { name: 'Yes, change' }).click()
    await page.getByText(/^The webhook to 127\S+ is changed\.$/).waitFor()
    const [changed] = await webhooks()
    assert.equal(changed?.url, `${receiver.url}/other`)
    assert.equal(changed.filter, null)
    await sheet.getByRole('button', { name: 'Change' }).click()
    await nothing.waitFor()
    await sheet.getByRole('button', { name: 'Delete' }).click()
    await sheet.getByText(/^Delete it\?/).waitFor()
    await sheet.getByRole('button', { name: 'Yes, delete' }).click()
    await page.getByText('No webhooks yet').waitFor()
    assert.deepEqual(await webhooks(), [])
    await page.goto(`${journey.server.url}/ui/subscriptions?view=webhooks&open=${webhook.id}`)
    await sheet.getByText('Not found', { exact: true }).waitFor()
  })

  test('a viewer sees webhooks, and is told why nothing can be changed', async () => {
    const body = { subscriber_id: 'user_1', url: receiver.url }
    const { position } = (await journey.call('POST', '/webhooks', body)).body as unknown as Webhook
    const filter = { event_types: ['nothing'] }
    const made = await journey.call('POST', '/webhooks', {
      ...{ ...body, filter, position: ofAnotherLog(position) },
    })
    const { id } = made.body as unknown as Webhook
    await using viewer = await signIn('viewer')
    const { page } = viewer
    await page.goto(`${journey.server.url}/ui/subscriptions?view=webhooks&open=${id}`)
    await page.getByText('To change webhooks, sign in as an operator.').waitFor()
    await page.getByText('The log is another one; the receiver was told').waitFor()
    await page.goto(`${journey.server.url}/ui/subscriptions?view=webhooks&open=new`)
    await page.getByText('To make webhooks, sign in as an operator.').waitFor()
    assert.deepEqual(viewer.complaints, [])
  })

  test('axe finds nothing on the webhooks, in both themes, and nothing scrolls sideways at 320 px', async () => {
    const url = `${receiver.url}/${'long'.repeat(100)}`
    const filter = { expression: `user_id = "${'x'.repeat(200)}"` }
    const made = await journey.call('POST', '/webhooks', { subscriber_id: 'a'.repeat(100), url, filter })
    assert.equal(made.status, 201, JSON.stringify(made.body))
    const { id } = made.body as unknown as Webhook
    const pages: readonly (readonly [string, string | RegExp])[] = [
      ['subscriptions?view=webhooks', 'user_1'],
      ['subscriptions?view=webhooks&subscriber=nobody', 'nobody has no webhook'],
      [`subscriptions?view=webhooks&open=${id}`, 'since the last success'],
      ['subscriptions?view=webhooks&open=new', 'What is sent'],
    ]
    const looks = [
      { theme: 'light', width: 1280 },
      { theme: 'dark', width: 768 },
      { theme: 'dark', width: 320 },
    ] as const
    const { url: server } = journey.server
    await looksWell(browser, { pages, looks, url: server, signedInAs: operator.page.context() })
  })

  test('no page broke the rules of its content policy or threw', () => {
    assert.deepEqual(operator.complaints, [])
  })
})
