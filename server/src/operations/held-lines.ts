/** Where finished lines go: a stream, or what stands before one. */
export interface LineSink {
  readonly isTTY?: boolean
  write(line: string): unknown
}

/** Lines on their way to a sink, kept back until they are released. */
export interface HeldLines extends LineSink {
  /** Writes what was held, and lets everything after it through. Twice is harmless. */
  release(): void
}

/**
 * Holds lines back until they are released, at most `msMax`: where standard output and standard error are one stream,
 * what a start has to say to people would otherwise stand somewhere among the lines that it logs.
 */
export function holdLines(to: LineSink, msMax: number): HeldLines {
  let held: string[] | undefined = []
  const release = (): void => {
    clearTimeout(timer)
    const lines = held ?? []
    held = undefined
    for (const line of lines) to.write(line)
  }
  // A start that takes long is one whose lines somebody waits for.
  const timer = setTimeout(release, msMax)
  timer.unref()
  return {
    isTTY: to.isTTY === true,
    write: (line) => (held ? held.push(line) : to.write(line)),
    release,
  }
}
