import { setTimeout as pause } from 'node:timers/promises'
import type { Delivery } from '@pulse/protocol/frames'
import { subprotocol } from '@pulse/protocol/frames'
import { formatStreamPosition, parseStreamPosition } from '@pulse/protocol/stream-position'

/** The ways to a subscriber. */
export const transports = ['frames', 'plain', 'sse'] as const
export type FollowedTransport = (typeof transports)[number]

export interface Followed {
  /** Where the server is now; it may be another one at every call. */
  readonly url: () => string
  readonly key: string
  readonly subscriber: string
  readonly transport: FollowedTransport
  /** Where to begin. */
  readonly position: string
  readonly signal: AbortSignal
}

/** What one connection after the other has brought. */
export interface Following {
  /** Ids of the events in the order in which they came. */
  readonly ids: string[]
  /** What a server must not do, whatever is done to it. */
  readonly wrong: string[]
  /** How often it connected. */
  connections: number
  position: string
}

type Connect = (followed: Followed, following: Following) => Promise<void>

const connects: Readonly<Record<FollowedTransport, Connect>> = {
  frames: (followed, following) => followSocket(followed, following, { framed: true }),
  plain: (followed, following) => followSocket(followed, following, { framed: false }),
  sse: followEvents,
}

/**
 * Follows a subscriber as a client without an SDK does: through every failure, each time from the last position that it
 * was told. Resolves when the signal aborts; `into` is filled meanwhile.
 */
export async function follow(followed: Followed, into: Following): Promise<void> {
  while (!followed.signal.aborted) {
    try {
      await connects[followed.transport](followed, into)
    } catch {
      // Nobody is there: that is what is done here on purpose.
    }
    await pause(20 + Math.random() * 80)
  }
}

async function followSocket(
  { url, key, subscriber, signal }: Followed,
  following: Following,
  { framed }: { framed: boolean },
): Promise<void> {
  const address = new URL(`${url().replace(/^http/, 'ws')}/ws/${subscriber}`)
  if (!framed) address.searchParams.set('position', following.position)
  const headers = { authorization: `Bearer ${key}` }
  const socket = new WebSocket(address, { headers, ...(framed && { protocols: [subprotocol] }) })
  const close = () => socket.close()
  signal.addEventListener('abort', close)
  const place = new Place(following.position)
  try {
    await new Promise<void>((resolve) => {
      socket.onopen = () => {
        following.connections++
      }
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(String(data)) as Message
        if (!framed) takePlain(message, following)
        else if (message.type === 'hello')
          socket.send(JSON.stringify({ type: 'resume', position: following.position }))
        else takeFrame(message, { following, place })
      }
      socket.onerror = () => resolve()
      socket.onclose = ({ code }) => {
        if (code >= 4400 && code < 4500) following.wrong.push(`closed with ${code}`)
        resolve()
      }
    })
  } finally {
    signal.removeEventListener('abort', close)
    socket.onmessage = null
    socket.close()
  }
}

interface Message {
  readonly type?: string
  readonly event_id?: string
  readonly position?: string
  readonly events?: readonly Delivery[]
}

function takePlain({ event_id = '', position = '' }: Message, following: Following): void {
  following.ids.push(event_id)
  following.position = position
}

function takeFrame(frame: Message, { following, place }: { following: Following; place: Place }): void {
  if (frame.type === 'gap') following.wrong.push(`gap ${JSON.stringify(frame)}`)
  if (frame.type === 'checkpoint') place.tell(frame.position ?? '')
  const deliveries =
    frame.type === 'event'
      ? [frame as unknown as Delivery]
      : frame.type === 'batch'
        ? (frame.events ?? [])
        : []
  for (const delivery of deliveries) {
    const broken = place.take(delivery)
    if (broken) following.wrong.push(broken)
    following.ids.push(delivery.event.event_id)
  }
  following.position = place.text
}

/** Per partition the next offset that was not told of. */
class Place {
  readonly #positions: ReturnType<typeof parseStreamPosition>

  constructor(position: string) {
    this.#positions = parseStreamPosition(position)
  }

  get text(): string {
    return formatStreamPosition(this.#positions ?? [])
  }

  tell(position: string): void {
    for (const { topic, offsets } of parseStreamPosition(position) ?? [])
      for (const [partition, offset] of offsets) {
        const own = this.#of(topic)
        own?.set(partition, Math.max(own.get(partition) ?? 0, offset))
      }
  }

  /** Moves behind an event; says so if it does not follow what was told before. */
  take({ topic, partition, offset, previous }: Delivery): string | undefined {
    const offsets = this.#of(topic)
    const next = offsets?.get(partition)
    offsets?.set(partition, offset + 1)
    return next === previous + 1
      ? undefined
      : `${topic}/${partition}: ${offset} follows ${previous}, not ${next}`
  }

  #of(topic: string): Map<number, number> | undefined {
    return this.#positions?.find((each) => each.topic === topic)?.offsets as Map<number, number> | undefined
  }
}

async function followEvents({ url, key, subscriber, signal }: Followed, following: Following): Promise<void> {
  const answer = await fetch(`${url()}/stream?subscriber=${subscriber}`, {
    headers: { authorization: `Bearer ${key}`, 'last-event-id': following.position },
    signal,
  })
  if (!answer.ok) {
    if (answer.status < 500) following.wrong.push(`answered ${answer.status}`)
    await answer.body?.cancel()
    return
  }
  following.connections++
  let text = ''
  for await (const part of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const blocks = (text + part).split('\n\n')
    // A block that was cut off is no block: as in a browser, it is forgotten with the connection.
    text = blocks.pop() ?? ''
    for (const block of blocks) takeBlock(block, following)
  }
}

function takeBlock(block: string, following: Following): void {
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
  const event = field('event')
  if (event === 'gap') following.wrong.push(`gap ${block}`)
  const data = field('data')
  if (event === undefined && data !== undefined)
    following.ids.push((JSON.parse(data) as { event_id: string }).event_id)
  following.position = field('id') ?? following.position
}
