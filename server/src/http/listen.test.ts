import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { openUnbound } from './http-world.ts'
import { ListenError, listen } from './listen.ts'

const linux = process.platform === 'linux'

test('a taken port is an error that names the process which holds it', { skip: !linux }, async () => {
  const script = `require('node:net').createServer().listen(0, '127.0.0.1', function () { console.log(this.address().port) })`
  const child: ChildProcess = spawn(process.execPath, ['-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const [text] = await once(child.stdout ?? child, 'data')
    const port = Number(String(text))
    await using world = await openUnbound()
    await assert.rejects(listen(world.http, { host: '127.0.0.1', port }), (error: unknown) => {
      assert.ok(error instanceof ListenError)
      assert.equal(error.code, 'port_taken')
      assert.equal(error.holder?.pid, child.pid)
      assert.match(error.holder?.command ?? '', /node -e require/)
      assert.match(error.message, new RegExp(`port ${port} is taken by process ${child.pid} \\(`))
      return true
    })
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
})

test('an address that this machine does not have is told apart from a taken port', async () => {
  await using world = await openUnbound()
  const wrong = (error: unknown) => error instanceof ListenError && error.code === 'no_such_address'
  await assert.rejects(listen(world.http, { host: '192.0.2.1', port: 0 }), wrong)
})

test('an IPv6 address is bound and named in brackets', async () => {
  await using world = await openUnbound()
  assert.match(await listen(world.http, { host: '::1', port: 0 }), /^http:\/\/\[::1\]:\d+$/)
})
