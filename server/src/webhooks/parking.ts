import type { Standing } from './blocking.ts'
import type { FoundKey, ParkedLetter, ParkedRow } from './letter.ts'

/** Which of the events of a key are wanted. */
export interface NextOf {
  readonly after: ParkedRow | undefined
  readonly countMax: number
}

export interface ParkingNeeds {
  /** Keeps it; from the call on the position may pass it. Resolves when that is committed, rejects if never. */
  readonly park: (row: ParkedRow) => Promise<void>
  /** The next of a key behind one of them, in order. */
  readonly next: (key: string, which: NextOf) => Promise<readonly ParkedLetter[]>
  /** These are to be sent now. */
  readonly loaded: (letters: readonly ParkedLetter[]) => void
  /** One more of this key was committed. */
  readonly kept: (key: string) => void
  /** What waits could not be read. */
  readonly failed: (error: unknown) => void
}

/** What is known of a key whose events wait in the database. */
interface Line {
  /** Parked, and not taken out again for sending. */
  waiting: number
  /** The last one that was taken out. */
  last: ParkedRow | undefined
  loading: boolean
  /** Something was committed while the database was asked. */
  again: boolean
  standing: Standing
}

// Of what an owner before this one has parked it is not known why.
const fresh: Line = { waiting: 0, last: undefined, loading: false, again: false, standing: 'alone' }

/** Which keys have events in the database: all that follow of such a key go there too, so that none overtakes another. */
export class Parking {
  readonly #needs: ParkingNeeds
  readonly #lines = new Map<string, Line>()
  /** By key the last one that an owner before this one has parked. */
  readonly #highest = new Map<string, FoundKey['highest']>()
  #asked: Promise<void> = Promise.resolve()
  #waiting = 0
  #doubted = 0

  constructor(needs: ParkingNeeds) {
    this.#needs = needs
  }

  /** Events that wait. */
  get waiting(): number {
    return this.#waiting
  }

  /** Those of them whose keys were blocked on a doubt. */
  get doubted(): number {
    return this.#doubted
  }

  /** Keys that have events here. */
  get keys(): number {
    return this.#lines.size
  }

  has(key: string): boolean {
    return this.#lines.has(key)
  }

  /** From now on the events of this key wait here; `first` is being sent already, if it is parked itself. */
  open(key: string, first: ParkedRow | undefined, standing: Standing): void {
    this.#lines.set(key, { ...fresh, last: first, standing })
  }

  /** Why this key is blocked; undefined if it is not. */
  standing(key: string): Standing | undefined {
    return this.#lines.get(key)?.standing
  }

  /** More is known of why this key is blocked. */
  stand(key: string, standing: Standing): void {
    const line = this.#lines.get(key)
    if (!line) return
    const { waiting } = line
    this.#count(line, -waiting)
    line.standing = standing
    this.#count(line, waiting)
  }

  /** What an owner before this one has left. */
  found(keys: readonly FoundKey[]): void {
    for (const { key, count, highest } of keys) {
      this.#lines.set(key, { ...fresh })
      this.#highest.set(key, highest)
      this.#add(key, count)
      this.load(key, 1)
    }
  }

  /**
   * Whether an owner before this one has parked it: it waits, or was dealt with since then. Such events come again where
   * another key held back the position.
   */
  isKnown(key: string, { log_epoch, record_offset }: FoundKey['highest']): boolean {
    const highest = this.#highest.get(key)
    if (!highest || log_epoch > highest.log_epoch) return false
    return log_epoch < highest.log_epoch || record_offset <= highest.record_offset
  }

  /** Takes one in, behind what waits. Resolves when it is kept. */
  async add(letter: ParkedLetter): Promise<void> {
    const { key, from } = letter
    this.#add(key, 1)
    await this.#needs.park(from.row)
    // It may be the one that was asked for in vain, because it was not committed then.
    const line = this.#lines.get(key)
    if (line?.loading) line.again = true
    else this.#needs.kept(key)
  }

  /** So many that were taken out wait again, behind this one. */
  putBack(key: string, count: number, behind: ParkedRow): void {
    const line = this.#lines.get(key)
    if (!line) return
    line.last = behind
    this.#add(key, count)
  }

  /** Nothing of this key is being sent: so many of the next are taken out, or it is a key like any other again. */
  load(key: string, countMax: number): void {
    const line = this.#lines.get(key)
    if (!line || line.loading) return
    if (line.waiting === 0) this.#lines.delete(key)
    else void this.#load(key, line, countMax)
  }

  async #load(key: string, line: Line, countMax: number): Promise<void> {
    line.loading = true
    try {
      let letters: readonly ParkedLetter[]
      do {
        line.again = false
        letters = await this.#ask(key, { after: line.last, countMax })
      } while (letters.length === 0 && line.again)
      line.loading = false
      line.last = letters.at(-1)?.from.row ?? line.last
      this.#count(line, -letters.length)
      this.#needs.loaded(letters)
    } catch (error) {
      line.loading = false
      this.#needs.failed(error)
    }
  }

  /** One question at a time: a server that takes over may find many keys, and others need the database too. */
  #ask(key: string, which: NextOf): Promise<readonly ParkedLetter[]> {
    const answer = this.#asked.then(() => this.#needs.next(key, which))
    this.#asked = answer.then(
      () => {},
      () => {},
    )
    return answer
  }

  #add(key: string, count: number): void {
    const line = this.#lines.get(key)
    if (!line) throw new Error(`${key} is not parked`)
    this.#count(line, count)
  }

  #count(line: Line, more: number): void {
    line.waiting += more
    this.#waiting += more
    if (line.standing === 'doubted') this.#doubted += more
  }
}
