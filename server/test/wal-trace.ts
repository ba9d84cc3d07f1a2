/**
 * Reads what `strace -f -ttt -T -y` saw of PostgreSQL, and finds acknowledgements that came without a sync of the
 * write-ahead log. Times are in milliseconds since 1970.
 */
export interface WalCall {
  readonly kind: 'write' | 'sync' | 'synced-write'
  readonly startedMs: number
  readonly endedMs: number
}

/** When something was sent to be kept, and when the answer said that it is. */
export interface Acknowledgement {
  readonly sentMs: number
  readonly ackedMs: number
}

const linePattern = /^(\d+) +(\d+\.\d+) (.*)$/
const callPattern = /^(fdatasync|fsync|pwrite64|pwritev|openat)\((.*)$/
const resumedPattern = /^<\.\.\. (\w+) resumed>(.*)$/
const walFile = /<([^<>]*\/pg_wal\/[0-9A-F]{24})>/
const openedWal = /"([^"]*pg_wal\/[0-9A-F]{24})".*\bO_D?SYNC\b/

/** Every write and sync of the log that succeeded, in the order in which they ended. */
export function readWalCalls(trace: string): readonly WalCall[] {
  const calls: WalCall[] = []
  const unfinished = new Map<string, { startedMs: number; text: string }>()
  const syncingFiles = new Set<string>()
  for (const line of trace.split('\n')) {
    const [, pid, seconds, rest] = linePattern.exec(line) ?? []
    if (pid === undefined || seconds === undefined || rest === undefined) continue
    const atMs = Number(seconds) * 1_000
    const resumed = resumedPattern.exec(rest)
    const begun = resumed ? unfinished.get(pid) : undefined
    if (rest.endsWith('<unfinished ...>')) {
      unfinished.set(pid, { startedMs: atMs, text: rest })
      continue
    }
    unfinished.delete(pid)
    const text = begun ? begun.text + rest : rest
    // The line of a resumed call carries the time of its end, that of a whole one the time of its start.
    const tookMs = Number(/<(\d+\.\d+)>$/.exec(rest)?.[1] ?? 0) * 1_000
    const call = readCall(text, syncingFiles)
    if (!call) continue
    const startedMs = begun?.startedMs ?? atMs
    calls.push({ kind: call, startedMs, endedMs: startedMs + tookMs })
  }
  return calls.sort((a, b) => a.endedMs - b.endedMs)
}

function readCall(text: string, syncingFiles: Set<string>): WalCall['kind'] | undefined {
  const [, name] = callPattern.exec(text) ?? []
  const succeeded = /= \d+(<[^>]*>)?( \(.*\))?( <\d+\.\d+>)?$/.test(text)
  if (name === undefined || !succeeded) return undefined
  if (name === 'openat') {
    // With open_datasync each write is a sync; the file is known from its being opened so.
    const opened = openedWal.exec(text)?.[1]
    if (opened) syncingFiles.add(opened.slice(-24))
    return undefined
  }
  const file = walFile.exec(text)?.[1]
  if (file === undefined) return undefined
  if (name !== 'pwrite64' && name !== 'pwritev') return 'sync'
  return syncingFiles.has(file.slice(-24)) ? 'synced-write' : 'write'
}

/**
 * Indexes of the acknowledgements between whose sending and arrival no sync of the log began after a write of it and
 * ended. With one request at a time, that write can only be its own.
 */
export function withoutSync(calls: readonly WalCall[], acks: readonly Acknowledgement[]): readonly number[] {
  const missing: number[] = []
  acks.forEach((ack, index) => {
    const within = calls.filter((call) => call.startedMs >= ack.sentMs && call.endedMs <= ack.ackedMs)
    const isSynced = within.some((call) => {
      if (call.kind === 'synced-write') return true
      return (
        call.kind === 'sync' &&
        within.some((write) => write.kind === 'write' && write.endedMs <= call.startedMs)
      )
    })
    if (!isSynced) missing.push(index)
  })
  return missing
}
