import { closeCodes, comebackAfter } from '@pulse/protocol/close-codes'
import type { PulseError } from './pulse-error.ts'

/**
 * The life of a subscription's connection, as a table of every state and every event. It decides and does nothing:
 * `subscription.ts` is the shell that opens sockets, sends and counts time.
 *
 * - `held`: there is a reason not to be connected, such as a hidden tab or a full inbox.
 * - `opening`: a socket is on its way. `greeting`: it is open, the server has not said hello.
 * - `placing`: the server was asked for the stream from a place and has not answered.
 * - `live`: the stream flows. `leaving`: it flows, but the server asked to come back in a moment.
 * - `asking`: the socket was refused; browsers do not say why, so an ordinary request asks.
 * - `waiting`: for the next attempt. `ended`: for good.
 *
 * A state arms at most one timer; entering another one arms its own.
 */
export type Link =
  | { readonly kind: 'held'; readonly tries: Tries; readonly holds: ReadonlySet<string> }
  | { readonly kind: 'opening'; readonly tries: Tries }
  | { readonly kind: 'greeting'; readonly tries: Tries }
  | { readonly kind: 'asking'; readonly tries: Tries }
  | { readonly kind: 'waiting'; readonly tries: Tries }
  | { readonly kind: 'placing'; readonly tries: Tries; readonly heartbeatMs: number }
  | {
      readonly kind: 'live'
      readonly tries: Tries
      readonly heartbeatMs: number
      /** When it became live. */
      readonly sinceMs: number
      /** The server was silent for one heartbeat and was asked for a sign of life. */
      readonly pinged: boolean
    }
  | { readonly kind: 'leaving'; readonly tries: Tries; readonly afterMs: number }
  | { readonly kind: 'ended'; readonly cause: EndCause }

export interface Tries {
  /** Attempts in a row that did not lead to a steady connection. */
  readonly failures: number
  /** The server did not take the credential; a new one is being tried. */
  readonly renewed: boolean
}

/** Why a subscription has ended. */
export type EndCause =
  | { readonly kind: 'asked' }
  | { readonly kind: 'closed'; readonly code: number; readonly reason: string }
  | { readonly kind: 'failed'; readonly error: Error }

export type LinkEvent =
  /** There is a reason not to be connected; there is it no more. */
  | { readonly kind: 'hold'; readonly reason: string }
  | { readonly kind: 'release'; readonly reason: string }
  /** The socket is open. */
  | { readonly kind: 'opened' }
  /** No socket could even be tried: there was no credential to be had. Undefined: it may pass. */
  | { readonly kind: 'unable'; readonly refusal: PulseError | undefined }
  /** The server said hello. */
  | { readonly kind: 'greeted'; readonly heartbeatMs: number }
  /** A frame that says where the stream stands: a checkpoint or a gap. */
  | { readonly kind: 'positioned' }
  /** A frame with events, or about them. */
  | { readonly kind: 'delivered' }
  /** The server asks to come back in a moment. */
  | { readonly kind: 'moved'; readonly afterMs: number }
  /** A frame that is none, or one after which something is missing. */
  | { readonly kind: 'faulty' }
  /** The server tells of an error. */
  | { readonly kind: 'denied'; readonly error: PulseError }
  | { readonly kind: 'closed'; readonly code: number; readonly reason: string }
  /** Why the socket was refused; undefined when that is not known or passing. */
  | { readonly kind: 'answered'; readonly refusal: PulseError | undefined }
  /** The timer. */
  | { readonly kind: 'elapsed' }
  | { readonly kind: 'end'; readonly cause: EndCause }

/** What the shell shall do, in this order. */
export type LinkAction =
  | { readonly do: 'open' | 'greet' | 'place' | 'take' | 'ping' | 'drop' | 'ask' | 'disarm' }
  /** The last position is of no use: the next stream begins where it then is. */
  | { readonly do: 'forget' }
  /** Sets the one timer to a random moment between the two, uniformly. */
  | { readonly do: 'arm'; readonly fromMs: number; readonly toMs: number }
  | { readonly do: 'finish'; readonly cause: EndCause }

export interface Step {
  readonly link: Link
  readonly actions: readonly LinkAction[]
}

export interface LinkRules {
  /** Time for a socket to open, for the hello, and for the answer to where the stream shall begin, each. */
  readonly connectMsMax: number
  /** Upper end of the first wait; it doubles with each failure. */
  readonly waitMsBase: number
  readonly waitMsMax: number
  /** Lower end of a wait when the server is too busy with us. */
  readonly laterMsMin: number
  /** A connection that held this long was a success: the next wait is short again. */
  readonly steadyMs: number
  /** A credential that was not taken can be replaced by another one. */
  readonly renewable: boolean
}

export const linkRules: Omit<LinkRules, 'renewable'> = {
  connectMsMax: 10_000,
  waitMsBase: 500,
  waitMsMax: 30_000,
  laterMsMin: 5_000,
  steadyMs: 5_000,
}

/** What a decision may look at besides state and event. */
export interface Moment {
  readonly nowMs: number
  /** When the socket was last heard of. */
  readonly heardMs: number
  readonly rules: LinkRules
}

type Kind = Link['kind']
type EventKind = LinkEvent['kind']
type Cell<K extends Kind, E extends EventKind> = (
  link: Extract<Link, { kind: K }>,
  event: Extract<LinkEvent, { kind: E }>,
  moment: Moment,
) => Step

/** Decides what becomes of a link at an event, and what to do. */
export function advance(link: Link, event: LinkEvent, moment: Moment): Step {
  // The compiler cannot see that both halves of the pair are those of the cell; the table's type has proved it.
  const cell = table[link.kind][event.kind] as unknown as (
    link: Link,
    event: LinkEvent,
    moment: Moment,
  ) => Step
  return cell(link, event, moment)
}

/** Where every subscription begins: held until its shell knows from where. */
export const startingHold = 'starting'

export const firstLink: Link = {
  kind: 'held',
  tries: { failures: 0, renewed: false },
  holds: new Set([startingHold]),
}

const none: readonly LinkAction[] = []
const take: readonly LinkAction[] = [{ do: 'take' }]
const drop: LinkAction = { do: 'drop' }
const disarm: LinkAction = { do: 'disarm' }

const armIn = (ms: number): LinkAction => ({ do: 'arm', fromMs: ms, toMs: ms })

const stay = (link: Link): Step => ({ link, actions: none })

/** Also a link that stays gives the frame on. */
const flow = (link: Link): Step => ({ link, actions: take })

type Active = Exclude<Link, { kind: 'ended' }>
type Unheld = Exclude<Active, { kind: 'held' }>

function open(tries: Tries, { rules }: Moment): Step {
  return { link: { kind: 'opening', tries }, actions: [drop, { do: 'open' }, armIn(rules.connectMsMax)] }
}

/** Full jitter: of many clients that lose their server at once, no two come back together. */
function wait(tries: Tries, { rules }: Moment, fromMs = 0): Step {
  const toMs = fromMs + Math.min(rules.waitMsMax, rules.waitMsBase * 2 ** tries.failures)
  const failed = { ...tries, failures: tries.failures + 1 }
  return { link: { kind: 'waiting', tries: failed }, actions: [drop, { do: 'arm', fromMs, toMs }] }
}

const fail = (link: Active, _event: LinkEvent, moment: Moment): Step => wait(triesAfter(link, moment), moment)

// A server that takes every connection and loses it at once must not be asked again and again without a pause.
function triesAfter(link: Active, { nowMs, rules }: Moment): Tries {
  const steady = link.kind === 'leaving' || (link.kind === 'live' && nowMs - link.sinceMs >= rules.steadyMs)
  return steady ? { failures: 0, renewed: false } : link.tries
}

const end = (_link: Active, event: { readonly cause: EndCause }): Step => ended(event.cause)

const ended = (cause: EndCause): Step => ({
  link: { kind: 'ended', cause },
  actions: [drop, disarm, { do: 'finish', cause }],
})

const hold = (link: Unheld, { reason }: { readonly reason: string }): Step => ({
  link: { kind: 'held', tries: link.tries, holds: new Set([reason]) },
  actions: [drop, disarm],
})

function closed(link: Active, event: Extract<LinkEvent, { kind: 'closed' }>, moment: Moment): Step {
  const tries = triesAfter(link, moment)
  switch (comebackAfter(event.code)) {
    case 'resume':
      return wait(tries, moment)
    case 'later':
      return wait(tries, moment, moment.rules.laterMsMin)
    case 'afresh': {
      const step = wait(tries, moment)
      return { ...step, actions: [{ do: 'forget' }, ...step.actions] }
    }
    case 'never': {
      const mayRenew = event.code === closeCodes.unauthenticated && moment.rules.renewable && !tries.renewed
      if (mayRenew) return wait({ ...tries, renewed: true }, moment)
      return ended({ kind: 'closed', code: event.code, reason: event.reason })
    }
  }
}

const ask = ({ tries }: Unheld, _event: LinkEvent, { rules }: Moment): Step => ({
  link: { kind: 'asking', tries },
  actions: [drop, { do: 'ask' }, armIn(rules.connectMsMax)],
})

const greet = ({ tries }: Unheld, _event: LinkEvent, { rules }: Moment): Step => ({
  link: { kind: 'greeting', tries },
  actions: [{ do: 'greet' }, armIn(rules.connectMsMax)],
})

const place = (
  { tries }: Unheld,
  { heartbeatMs }: { readonly heartbeatMs: number },
  { rules }: Moment,
): Step => ({
  link: { kind: 'placing', tries, heartbeatMs },
  actions: [{ do: 'place' }, armIn(rules.connectMsMax)],
})

const goLive = (
  { tries, heartbeatMs }: Extract<Link, { kind: 'placing' }>,
  _event: LinkEvent,
  { nowMs }: Moment,
): Step => ({
  link: {
    kind: 'live',
    tries: { ...tries, renewed: false },
    heartbeatMs,
    sinceMs: nowMs,
    pinged: false,
  },
  actions: [{ do: 'take' }, armIn(heartbeatMs)],
})

/** A half-open connection says nothing for ever: after one heartbeat it is asked, after two it is given up. */
function listen(link: Extract<Link, { kind: 'live' }>, event: LinkEvent, moment: Moment): Step {
  const silentMs = moment.nowMs - moment.heardMs
  if (silentMs >= 2 * link.heartbeatMs) return fail(link, event, moment)
  if (silentMs < link.heartbeatMs)
    return { link: { ...link, pinged: false }, actions: [armIn(link.heartbeatMs - silentMs)] }
  const actions: LinkAction[] = link.pinged ? [] : [{ do: 'ping' }]
  return { link: { ...link, pinged: true }, actions: [...actions, armIn(2 * link.heartbeatMs - silentMs)] }
}

const leave = ({ tries }: Unheld, { afterMs }: { readonly afterMs: number }): Step => ({
  link: { kind: 'leaving', tries, afterMs },
  actions: [armIn(afterMs)],
})

/** There is no stream yet that could flow on, or the server has gone before it was time: come back when it said. */
const comeBack = ({ tries }: Unheld, { afterMs }: { readonly afterMs: number }): Step => ({
  link: { kind: 'waiting', tries },
  actions: [drop, armIn(afterMs)],
})

function refused(
  { tries }: Unheld,
  { refusal }: { readonly refusal: PulseError | undefined },
  moment: Moment,
): Step {
  if (refusal === undefined) return wait(tries, moment)
  const mayRenew = refusal.code === 'unauthenticated' && moment.rules.renewable && !tries.renewed
  return mayRenew ? wait({ ...tries, renewed: true }, moment) : ended({ kind: 'failed', error: refusal })
}

/** What was asked for cannot be had; asking again would not change that. */
function denied(link: Unheld, { error }: Extract<LinkEvent, { kind: 'denied' }>, moment: Moment): Step {
  return error.retryable ? wait(link.tries, moment) : ended({ kind: 'failed', error })
}

const addHold = (link: Extract<Link, { kind: 'held' }>, { reason }: { readonly reason: string }): Step => ({
  link: { ...link, holds: new Set([...link.holds, reason]) },
  actions: none,
})

function removeHold(
  link: Extract<Link, { kind: 'held' }>,
  { reason }: { readonly reason: string },
  moment: Moment,
): Step {
  const holds = new Set([...link.holds].filter((one) => one !== reason))
  if (holds.size > 0) return { link: { ...link, holds }, actions: none }
  return open(link.tries, moment)
}

const table: { readonly [K in Kind]: { readonly [E in EventKind]: Cell<K, E> } } = {
  held: {
    hold: addHold,
    release: removeHold,
    opened: stay,
    unable: stay,
    greeted: stay,
    positioned: stay,
    delivered: stay,
    moved: stay,
    faulty: stay,
    denied: stay,
    closed: stay,
    answered: stay,
    elapsed: stay,
    end,
  },
  opening: {
    hold,
    release: stay,
    opened: greet,
    unable: refused,
    greeted: fail,
    positioned: fail,
    delivered: fail,
    moved: fail,
    faulty: fail,
    denied: stay,
    // No code says why a socket was refused: 1006 stands for everything from a wrong key to a dead server.
    closed: ask,
    answered: stay,
    elapsed: fail,
    end,
  },
  greeting: {
    hold,
    release: stay,
    opened: stay,
    unable: stay,
    greeted: place,
    positioned: fail,
    delivered: fail,
    moved: comeBack,
    faulty: fail,
    denied: stay,
    closed,
    answered: stay,
    elapsed: fail,
    end,
  },
  placing: {
    hold,
    release: stay,
    opened: stay,
    unable: stay,
    greeted: fail,
    positioned: goLive,
    // Without an answer nobody knows from where these are counted.
    delivered: fail,
    moved: comeBack,
    faulty: fail,
    denied,
    closed,
    answered: stay,
    elapsed: fail,
    end,
  },
  live: {
    hold,
    release: stay,
    opened: stay,
    unable: stay,
    greeted: fail,
    positioned: flow,
    delivered: flow,
    moved: leave,
    faulty: fail,
    denied: stay,
    closed,
    answered: stay,
    elapsed: listen,
    end,
  },
  leaving: {
    hold,
    release: stay,
    opened: stay,
    unable: stay,
    greeted: fail,
    positioned: flow,
    delivered: flow,
    moved: leave,
    faulty: fail,
    denied: stay,
    closed: (link, event, moment) =>
      comebackAfter(event.code) === 'resume' ? comeBack(link, link) : closed(link, event, moment),
    answered: stay,
    elapsed: (link, _event, moment) => open(link.tries, moment),
    end,
  },
  asking: {
    hold,
    release: stay,
    opened: stay,
    unable: stay,
    greeted: stay,
    positioned: stay,
    delivered: stay,
    moved: stay,
    faulty: stay,
    denied: stay,
    closed: stay,
    answered: refused,
    elapsed: fail,
    end,
  },
  waiting: {
    hold,
    release: stay,
    opened: stay,
    unable: stay,
    greeted: stay,
    positioned: stay,
    delivered: stay,
    moved: stay,
    faulty: stay,
    denied: stay,
    closed: stay,
    answered: stay,
    elapsed: (link, _event, moment) => open(link.tries, moment),
    end,
  },
  ended: {
    hold: stay,
    release: stay,
    opened: stay,
    unable: stay,
    greeted: stay,
    positioned: stay,
    delivered: stay,
    moved: stay,
    faulty: stay,
    denied: stay,
    closed: stay,
    answered: stay,
    elapsed: stay,
    end: stay,
  },
}
