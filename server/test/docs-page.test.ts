import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chromium } from '@playwright/test'
import { eventually } from '@pulse/dev/services/eventually'
import { startServer } from './started-server.ts'

test('EF-02 the page /docs submits an event in a real browser, with nothing loaded from elsewhere', async () => {
  await using server = await startServer()
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
  try {
    const page = await browser.newPage()
    const requested: string[] = []
    const complaints: string[] = []
    page.on('request', (request) => requested.push(request.url()))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    page.on('pageerror', (error) => complaints.push(error.message))
    await page.goto(`${server.url}/docs`)
    await page.getByRole('button', { name: 'Authorize' }).first().click()
    const dialog = page.locator('.auth-container', { hasText: 'bearer' }).first()
    await dialog.locator('input').fill(server.key)
    await dialog.getByRole('button', { name: /apply/i }).click()
    await page.locator('.modal-ux').getByRole('button', { name: 'Close' }).first().click()
    await page.getByText('Send one event or a batch').click()
    const answered = page.waitForResponse((answer) => answer.url().endsWith('/events'))
    await page.getByRole('button', { name: 'Execute' }).click()
    const answer = await answered
    assert.equal(answer.status(), 202)
    const { event_id } = (await answer.json()) as { event_id: string }
    await page.locator('.live-responses-table', { hasText: event_id }).waitFor({ timeout: 5_000 })
    const found = async () => {
      const one = await fetch(`${server.url}/events/${event_id}`, {
        headers: { authorization: `Bearer ${server.key}` },
      })
      return ((await one.json()) as { status?: string }).status === 'processed' ? true : undefined
    }
    await eventually('the event is processed', found, 10_000)
    assert.deepEqual(complaints, [])
    const foreign = requested.filter((url) => !url.startsWith(server.url) && !url.startsWith('data:'))
    assert.deepEqual(foreign, [])
  } finally {
    await browser.close()
  }
})
