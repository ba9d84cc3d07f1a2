import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { BitmapUnavailable, type Command } from './redis-link.ts'
import type { SaltedPositions } from './salted-positions.ts'

/** Makes the commands that set the bits of names, in the way that suits their number. */
export interface BitWriter {
  /** Groups of commands, each for one run. It leaves the event loop free between each 1,000 keys. */
  commandsFor(keys: readonly string[]): AsyncIterable<readonly Command[]>
  /** Throws BitmapUnavailable if these answers say that a group has done nothing. */
  check(commands: readonly Command[], answers: readonly unknown[]): void
}

const keysPerTurnMax = 1_000
/** What one bit takes in a command, in bytes: `SET u1 1234567 1` with its lengths. */
const bytesPerCommandBit = 37
const pieceBytesMax = 16 * 1_024 * 1_024
// Long enough for any Redis that still counts as there, short enough that a crash of ours leaves nothing.
const pieceMsMax = 60_000

/**
 * Few keys are set by BITFIELD, a thousand of them in one command. As soon as that would be longer than the bitmap,
 * a bitmap of these keys alone is made here, sent, and put on top by BITOP OR: one step in Redis, so a bit that
 * another program sets at the same time stays, which overwriting a part (SETRANGE) could not promise.
 */
export function createBitWriter({ key, positions }: { key: string; positions: SaltedPositions }): BitWriter {
  const bytes = Math.ceil(positions.bits / 8)
  const inPiece = (keys: readonly string[]) =>
    bytes <= pieceBytesMax && keys.length * positions.hashes * bytesPerCommandBit > bytes
  return {
    async *commandsFor(keys) {
      if (inPiece(keys)) yield orCommands(key, await pieceOf(keys, positions, bytes))
      else
        for (const some of groups(keys)) {
          yield [setCommand(key, some, positions)]
          await nextTurn()
        }
    },
    check: (commands, answers) => {
      const end = commands.findIndex(([word]) => word === 'UNLINK')
      // If it ran out of time, or was flushed, between being sent and being put on top, then OR has added nothing.
      if (end !== -1 && answers[end] !== 1)
        throw new BitmapUnavailable('slow', 'Redis dropped names before it had taken them')
    },
  }
}

function* groups(keys: readonly string[]): Generator<readonly string[]> {
  for (let from = 0; from < keys.length; from += keysPerTurnMax) yield keys.slice(from, from + keysPerTurnMax)
}

function setCommand(key: string, keys: readonly string[], positions: SaltedPositions): Command {
  const command = ['BITFIELD', key]
  for (const name of keys)
    for (const position of positions.of(name)) command.push('SET', 'u1', String(position), '1')
  return command
}

async function pieceOf(keys: readonly string[], positions: SaltedPositions, bytes: number): Promise<Buffer> {
  const piece = Buffer.alloc(bytes)
  for (const some of groups(keys)) {
    for (const name of some)
      for (const position of positions.of(name)) {
        const at = position >>> 3
        // Redis counts a byte's bits from the highest.
        piece[at] = (piece[at] ?? 0) | (0x80 >>> (position & 7))
      }
    await nextTurn()
  }
  return piece
}

function orCommands(key: string, piece: Buffer): readonly Command[] {
  const pieceKey = `${key}:piece:${randomUUID()}`
  return [
    ['SET', pieceKey, piece, 'PX', String(pieceMsMax)],
    ['BITOP', 'OR', key, key, pieceKey],
    ['UNLINK', pieceKey],
  ]
}
