import type { Terminal } from './terminal.ts'

// The alternate screen, so that what stood in the terminal before comes back afterwards.
const enter = '\u001b[?1049h\u001b[?25l'
const leave = '\u001b[?25h\u001b[?1049l'
const fromTopLeft = '\u001b[H'
const clearRest = '\u001b[J'
const clearLine = '\u001b[K\n'

/** A whole terminal that is painted again and again; disposing gives it back. */
export interface Screen extends Disposable {
  /** Paints these lines from the top; nothing of an earlier picture stays. */
  paint(lines: readonly string[]): void
}

/** Takes the terminal for a live view. */
export function openScreen(terminal: Terminal): Screen {
  terminal.write(enter)
  return {
    paint: (lines) =>
      terminal.write(`${fromTopLeft}${lines.map((line) => `${line}${clearLine}`).join('')}${clearRest}`),
    [Symbol.dispose]: () => terminal.write(leave),
  }
}
